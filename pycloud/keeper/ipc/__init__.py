"""The keeper's socket: the protocol, the server, the fields of each request, a client for processes without a daemon.

Start with ``protocol.py``, which the daemon imports, too.
"""
