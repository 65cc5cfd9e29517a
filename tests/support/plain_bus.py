"""A stand-in for the bus that needs no patched process: the same calls, one after the other, on a real Redis."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

import redis

from pycloud.transport.pipeline import Argument, Command, Script, TooLate


class PlainBus:
    """Has the bus's methods that the registry uses."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.run_id = "run1"

    def call(self, *command: Argument) -> Any:
        """One command; the reply as it comes over the wire, as the bus hands it out."""
        pool = self._client.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            pool.release(connection)

    def call_many(self, commands: Sequence[Command]) -> list[Any]:
        """Several."""
        return [self.call(*command) for command in commands]

    def post(self, *command: Argument, valid: float | None = None) -> None:
        """One whose reply nobody wants."""
        self.call(*command)

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument], *, until: float = float("inf")) -> Any:
        """A script; too late where that is over."""
        if until <= monotonic():
            raise TooLate
        return self._client.eval(script.source, len(keys), *keys, *args)

    def run_many(self, script: Script, runs: Sequence[tuple[Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """A script several times."""
        return [self.run(script, keys, args) for keys, args in runs]
