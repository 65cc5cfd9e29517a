"""Tests of ``pycloud/shell/node_commands``, a file for each module."""
