"""Sessions that are scripts on this host, run by the keeper.

May use gevent, the keeper's protocol and its files. Start with ``runtime.py``.
"""
