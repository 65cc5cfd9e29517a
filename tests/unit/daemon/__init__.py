"""Tests of ``pycloud/daemon``, a file for each module."""
