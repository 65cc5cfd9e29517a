"""Tests of ``pycloud/shell/live``, a file for each module."""
