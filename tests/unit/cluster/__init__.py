"""Tests of ``pycloud/cluster``, a file for each module."""
