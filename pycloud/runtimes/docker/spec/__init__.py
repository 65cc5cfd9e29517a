"""Container options: their names and types, the operator's policy, and the configuration of containers.

Pure, except for the host paths that ``policy`` resolves. Start with ``options.py``.
"""
