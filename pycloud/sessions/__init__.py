"""The life cycle of sessions on this node: manager, starter, remover, watcher, recovery, log streams.

Uses a runtime through its contract and Redis through ``store``. Start with ``manager.py``.
"""
