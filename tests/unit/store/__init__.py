"""Tests of ``pycloud/store``, a file for each module."""
