"""PyCloud starts a server process or container on request, on the host that fits best.

Importing this package loads nothing but this file: the daemon (gevent) and the requester's side (never patched) must be
able to import their own halves only.
"""

__version__ = "2.1.0"
