"""Connections to Redis: the daemon's pipeline and subscriber, the requester's blocking connections, URLs, paging.

Handles commands and bytes, not their meaning. ``pipeline`` and ``subscriber`` use gevent; ``blocking`` does not.
"""
