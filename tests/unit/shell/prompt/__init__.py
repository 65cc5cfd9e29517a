"""Tests of ``pycloud/shell/prompt``, a file for each module."""
