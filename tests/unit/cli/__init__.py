"""Tests of ``pycloud/cli``, a file for each module."""
