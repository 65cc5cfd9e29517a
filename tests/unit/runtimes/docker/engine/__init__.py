"""Tests of ``pycloud/runtimes/docker/engine``, a file for each module."""
