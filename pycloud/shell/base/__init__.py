"""Shared by several commands of pycloudctl: the command type, flags, look-up of sessions and nodes, confirmation."""
