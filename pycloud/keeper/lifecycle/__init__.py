"""The life of a script session's processes: started, watched, terminated, reaped.

Start with ``starter.py`` and ``terminator.py``.
"""
