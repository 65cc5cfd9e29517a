"""Tests of ``pycloud/shell``, a file for each module."""
