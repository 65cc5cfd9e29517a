"""Tests of ``pycloud/client``, a file for each module."""
