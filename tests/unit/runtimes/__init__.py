"""Tests of ``pycloud/runtimes``, a file for each module."""
