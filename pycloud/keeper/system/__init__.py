"""Wrappers around the kernel's interfaces: /proc, inotify, ports, lock files, exec.

Each module knows the system and no other package of the keeper.
"""
