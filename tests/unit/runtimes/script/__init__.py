"""Tests of ``pycloud/runtimes/script``, a file for each module."""
