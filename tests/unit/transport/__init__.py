"""Tests of ``pycloud/transport``, a file for each module."""
