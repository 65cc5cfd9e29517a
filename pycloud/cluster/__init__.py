"""The other nodes: membership, placement, deferred requests, failover.

Decisions are pure and take the time as an argument; ``deferred_requests`` and ``failover`` act on them, and reach
Redis through ``store`` only.
Start with ``membership.py``, then ``placement.py``.
"""
