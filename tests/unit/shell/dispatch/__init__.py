"""Tests of ``pycloud/shell/dispatch``, a file for each module."""
