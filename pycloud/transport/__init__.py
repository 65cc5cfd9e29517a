"""Connections to Redis: the daemon's pipeline and subscriber, the requester's blocking connections, URLs, paging.

Knows commands and bytes, not what they mean. ``pipeline`` and ``subscriber`` use gevent; ``blocking`` does not.
"""
