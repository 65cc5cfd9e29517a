"""Container options: which exist, what their values look like, and what an operator allows.

Pure, except for the host paths that ``mounts`` resolves. Start with ``options.py``.
"""
