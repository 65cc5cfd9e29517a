"""Tests of ``pycloud/runtimes/docker/spec``, a file for each module."""
