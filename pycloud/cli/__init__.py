"""The daemon's command line beside ``app.py``: detaching, pid file, control commands, private Redis, health check.

Runs before the process is patched for gevent, or in a process without a daemon, so nothing here may import gevent or
open sockets at the top of a file (except ``embedded_redis``, which is loaded after patching). Start with
``control.py``; ``pycloud/app.py`` calls all of it.
"""
