"""Tests of ``pycloud/shell/terminal``, a file for each module."""
