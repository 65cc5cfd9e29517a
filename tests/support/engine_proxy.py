"""A line to an engine that is listened to, and may be slow: a socket of its own in front of the engine's.

::

    with EngineProxy(engine) as proxy, Host(tmp_path, proxy.host) as host:
        proxy.delay = 2.0
        host.start("box")
        assert proxy.asked("POST .*/start")
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote_plus

from tests.support.engine import Engine

CHUNK = 1 << 16
REQUEST = re.compile(rb"([A-Z]+ \S+) HTTP/1\.1\r\n")


class EngineProxy:
    """``delay``: seconds for which each answer is held back. ``most``: the most requests under way at once, of those
    that ``counted`` matches.
    """

    def __init__(self, engine: Engine, counted: str = "POST .*/containers/") -> None:
        self._target, self._path = engine.socket, engine.home / f"{secrets.token_hex(4)}.sock"
        self.host = f"unix://{self._path}"
        self.delay = 0.0
        self.most = 0
        self._counted = re.compile(counted)
        self._underway = 0
        self._requests: list[str] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(str(self._path))
        self._listener.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        Path(self._path).unlink(missing_ok=True)

    def asked(self, pattern: str) -> list[str]:
        """The requests so far that ``pattern`` matches, as in ``GET /v1.41/events?since=1``, in their order."""
        with self._lock:
            return [request for request in self._requests if re.match(pattern, request)]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            try:
                engine.connect(str(self._target))
            except OSError:
                client.close()
                engine.close()
                continue
            line = _Line(self, client, engine)
            for carry in (line.carry_requests, line.carry_answers):
                threading.Thread(target=carry, daemon=True).start()

    def _began(self, request: str) -> bool:
        counts = self._counted.match(request) is not None
        with self._lock:
            self._requests.append(request)
            self._underway += counts
            self.most = max(self.most, self._underway)
        return counts

    def _ended(self) -> None:
        with self._lock:
            self._underway -= 1


class _Line:
    """One connection: each request on it is answered before the next one comes."""

    def __init__(self, proxy: EngineProxy, client: socket.socket, engine: socket.socket) -> None:
        self._proxy, self._client, self._engine = proxy, client, engine
        self._waits = self._counts = False

    def carry_requests(self) -> None:
        """From the client to the engine."""
        with contextlib.suppress(OSError):
            while data := self._client.recv(CHUNK):
                if found := REQUEST.match(data):
                    self._counts, self._waits = self._proxy._began(unquote_plus(found[1].decode())), True
                self._engine.sendall(data)
        self._end(self._client)

    def carry_answers(self) -> None:
        """From the engine to the client."""
        with contextlib.suppress(OSError):
            while data := self._engine.recv(CHUNK):
                self._answered()
                self._client.sendall(data)
        self._answered()
        self._end(self._engine)

    def _answered(self) -> None:
        if self._waits:
            self._waits = False
            time.sleep(self._proxy.delay)
            if self._counts:
                self._proxy._ended()

    def _end(self, source: socket.socket) -> None:
        for each in (self._client, self._engine):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        source.close()  # the other one is closed by the other direction
