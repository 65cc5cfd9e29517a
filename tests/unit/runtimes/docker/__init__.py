"""Tests of ``pycloud/runtimes/docker``, a file for each module."""
