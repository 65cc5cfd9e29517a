"""Tests of ``pycloud/keeper/lifecycle``, a file for each module."""
