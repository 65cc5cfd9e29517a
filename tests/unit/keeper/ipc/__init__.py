"""Tests of ``pycloud/keeper/ipc``, a file for each module."""
