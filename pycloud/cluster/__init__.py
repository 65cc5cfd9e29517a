"""The other nodes: membership, placement, deferred requests, failover.

Decisions are pure functions that take the time as an argument; ``deferred_requests`` and ``failover`` act on them.
Start with ``membership.py``, then ``placement.py``.
"""
