"""The processes of script sessions: starting, watching, terminating, reaping.

Start with ``starter.py`` and ``terminator.py``.
"""
