"""All data in Redis: requests (claims and responses), sessions, names, heartbeats, events.

Every write goes through this package; scripts that must be atomic are in ``lua/``. Start with ``requests.py`` and
``lua/claim.lua``, which describes the keys.
"""
