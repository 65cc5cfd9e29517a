"""Tests of ``pycloud/shell/top``, a file for each module."""
