"""``top``: nodes and sessions on the whole screen, live.

Start with ``command.py``; ``state`` and ``view`` are pure.
"""
