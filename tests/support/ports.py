"""Ports for tests that name one: from below those that the system gives to connections by itself.

So a port stays free while its server is away, and no connection of another test gets it meanwhile. Each worker of
pytest-xdist has ports of its own, and gives none twice before it has given them all.
"""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack

FIRST, EACH, WORKERS = 10_000, 1_000, 10
#: In a row, so that a range of ports can be asked for.
ROW = 10

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
_rows = [FIRST + _worker * EACH + start for start in range(0, EACH, ROW)]
# Another run of the tests, at the same time on the same machine, begins elsewhere.
random.Random().shuffle(_rows)


def free_port() -> int:
    """A port that nobody has, for TCP or UDP, and after it nine more of which that is true."""
    for _ in range(len(_rows)):
        first = _rows.pop(0)
        _rows.append(first)
        if all(_is_free(port) for port in range(first, first + ROW)):
            return first
    raise RuntimeError("no ten free ports in a row")


def _is_free(port: int) -> bool:
    with ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections are in nobody's way
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
