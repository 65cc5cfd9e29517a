"""Tests of ``pycloud/keeper``, a file for each module."""
