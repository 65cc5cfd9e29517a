"""Tests of ``pycloud/keeper/storage``, a file for each module."""
