"""Tests of ``pycloud/keeper/system``, a file for each module."""
