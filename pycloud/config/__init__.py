"""The daemon's settings: each described once (``settings``), read and checked (``loader``), detected (``detection``).

No gevent, no Redis. Start with ``settings.py``.
"""

from pycloud.config.settings import DEFAULT_REDIS, FROM_DEFAULT, Config, enabled_runtimes

__all__ = ["DEFAULT_REDIS", "FROM_DEFAULT", "Config", "enabled_runtimes"]
