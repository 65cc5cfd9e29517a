"""Wrappers around the kernel's interfaces: /proc, inotify, ports, lock files, exec.

No module uses another package of the keeper. Start with ``procfs.py``.
"""
