"""What Redis holds: requests (claims and answers), sessions, names, heartbeats, events.

Every write goes through here; scripts that must be atomic are in ``lua/``. Start with ``requests.py`` and
``lua/claim.lua``, which describes the keys.
"""
