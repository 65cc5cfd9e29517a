"""The daemon itself: builds all parts, starts and stops them, routes requests, sends heartbeats.

May import every package of the daemon's side, and is imported by ``pycloud/app.py`` only. Start with ``daemon.py``,
then ``router.py``.
"""
