"""A viewer of sessions' output, with a lease as short as tests want it, and what it makes of what comes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from pycloud.client.logs import Ended, LogFollower, OnStreamLoss, Output
from pycloud.protocol.keys import Keys
from pycloud.transport.blocking import DeadlineConnectionPool


class Viewer:
    """Follows sessions through the Redis at ``url``; every stream is closed with it."""

    def __init__(self, url: str) -> None:
        self._stack = ExitStack()
        self._lines = DeadlineConnectionPool(url), DeadlineConnectionPool(url)
        for lines in self._lines:
            self._stack.callback(lines.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def follow(self, session: str, on_loss: OnStreamLoss = lambda _: None, **fields: Any) -> LogFollower:
        """All of the output, unless ``fields`` of the request say something else."""
        wishes = {"offset": 0, "lease": 1.0} | fields
        return self._stack.enter_context(LogFollower(*self._lines, Keys(), session, wishes, 10.0, on_loss))


def read(pieces: LogFollower, heard: Callable[[bytes], None] = lambda _: None) -> tuple[bytes, Ended]:
    """All that comes, which must be gap-free, and how it ended; ``heard`` gets all so far with each piece."""
    data = b""
    for piece in pieces:
        assert piece.offset == len(data), piece
        if isinstance(piece, Ended):
            return data, piece
        assert isinstance(piece, Output), piece
        data += piece.data
        heard(data)
    raise AssertionError("it ended without an end")


def counting(stop: object, least: int) -> str:
    """A script that counts up to ``least``, and on until there is a file at ``stop``; then it exits with 3."""
    return f"i=0; while [ $i -lt {least} ] || [ ! -e {stop} ]; do i=$((i+1)); echo $i; sleep 0.005; done; exit 3"


def numbers(data: bytes) -> list[int]:
    """What such a script has counted."""
    return [int(line) for line in data.split()]
