"""Tests of ``pycloud/shell/session_commands``, a file for each module."""
