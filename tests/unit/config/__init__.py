"""Tests of ``pycloud/config``, a file for each module."""
