"""Tests of ``pycloud/shell/base``, a file for each module."""
