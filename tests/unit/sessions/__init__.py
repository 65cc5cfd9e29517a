"""Tests of ``pycloud/sessions``, a file for each module."""
