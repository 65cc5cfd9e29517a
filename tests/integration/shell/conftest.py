"""Fixtures of pycloudctl: a shell with a fake node behind it, and the prompt on a terminal."""

from tests.support.pycloudctl import screen, shell

__all__ = ["screen", "shell"]
