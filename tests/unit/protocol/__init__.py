"""Tests of ``pycloud/protocol``, a file for each module."""
