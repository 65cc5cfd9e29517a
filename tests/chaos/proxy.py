"""A TCP proxy between one cloud and Redis that can be cut in either direction, and healed.

Runs in threads of the process that uses it. A cut swallows bytes, as a network does that drops packets. A connection
that lost bytes can never be trusted again (TCP would not deliver what follows a gap), so it is closed when the cut
heals. Or the cut holds bytes back and delivers them late, as a network does that came back in time for TCP.

May touch: its own sockets on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from enum import StrEnum
from types import TracebackType
from typing import Self

CHUNK = 1 << 16


class Cut(StrEnum):
    """Which bytes do not get through."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"
    BOTH = "both"


class Pair:
    """One client's connection and the one made for it; ``spoiled`` once bytes of it were swallowed."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.spoiled = False

    def close(self) -> None:
        """End both sides; the pumps notice by themselves. Their sockets are released when both have ended."""
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Listens on a free port of 127.0.0.1 (``port``) and hands everything on to ``target`` (a port there too)."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._pairs: set[Pair] = set()
        self._cut: frozenset[Cut] = frozenset()
        self._hold = False
        self._open = threading.Event()
        self._open.set()
        self._over = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """What a cloud is given as its Redis."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self, what: Cut, *, hold: bool = False) -> None:
        """Let no more bytes through in that direction; ``hold``: keep them back instead of swallowing them."""
        directions = frozenset({Cut.TO_SERVER, Cut.TO_CLIENT} if what is Cut.BOTH else {what})
        with self._lock:
            self._cut, self._hold = directions, hold
            self._open.clear()

    @property
    def spoiled(self) -> int:
        """How many connections have lost bytes and are open all the same."""
        with self._lock:
            return sum(pair.spoiled for pair in self._pairs)

    def heal(self, *, close: bool = True) -> None:
        """Let everything through again, and close the connections that lost bytes.

        ``close=False``: those stay open and carry nothing any more; only new ones work.
        """
        with self._lock:
            self._cut, self._hold = frozenset(), False
            spoiled = [pair for pair in self._pairs if pair.spoiled]
            self._open.set()
        for pair in spoiled if close else ():
            pair.close()

    def close(self) -> None:
        """End all connections and stop listening."""
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.close()
        self._open.set()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()  # Redis is down: so is the way to it
                continue
            server.settimeout(None)
            self._serve(Pair(client, server))

    def _serve(self, pair: Pair) -> None:
        with self._lock:
            self._pairs.add(pair)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._carry, args=(pair,), daemon=True)
        self._threads.append(thread)
        thread.start()
        if self._over:
            pair.close()  # it came while we were closing

    def _carry(self, pair: Pair) -> None:
        """Both directions of one pair, until either side has ended."""
        back = threading.Thread(target=self._pump, args=(pair, pair.server, pair.client, Cut.TO_CLIENT), daemon=True)
        back.start()
        self._pump(pair, pair.client, pair.server, Cut.TO_SERVER)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        pair.client.close()
        pair.server.close()

    def _pump(self, pair: Pair, source: socket.socket, sink: socket.socket, direction: Cut) -> None:
        with contextlib.suppress(OSError):
            for data in _chunks(source):
                if self._passes(pair, direction):
                    sink.sendall(data)
        pair.close()

    def _passes(self, pair: Pair, direction: Cut) -> bool:
        """Whether what was just read may go on; waits where it is held back."""
        while True:
            with self._lock:
                if direction not in self._cut:
                    return not pair.spoiled
                if not self._hold:
                    pair.spoiled = True
                    return False
            self._open.wait()


def _chunks(source: socket.socket) -> Iterator[bytes]:
    while data := source.recv(CHUNK):
        yield data
