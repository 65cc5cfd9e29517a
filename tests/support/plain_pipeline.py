"""A stand-in for the bus that needs no patched process: the same calls, one after the other, on a real Redis."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

import redis

from pycloud.transport.pipeline import DeadlineExceeded, LuaScript, RedisArgument, RedisCommand


class PlainPipeline:
    """Has the bus's methods that the registry uses."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.run_id = "run1"

    def execute(self, *command: RedisArgument) -> Any:
        """One command; the reply as it comes over the wire, as the bus hands it out."""
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            pool.release(connection)

    def execute_many(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """Several."""
        return [self.execute(*command) for command in commands]

    def send(self, *command: RedisArgument, max_age: float | None = None) -> None:
        """One whose reply nobody wants."""
        self.execute(*command)

    def eval_script(
        self, script: LuaScript, keys: Sequence[str], args: Sequence[RedisArgument], *, deadline: float = float("inf")
    ) -> Any:
        """A script; too late where that is over."""
        if deadline <= monotonic():
            raise DeadlineExceeded
        return self._client.eval(script.source, len(keys), *keys, *args)

    def eval_scripts(
        self, script: LuaScript, runs: Sequence[tuple[Sequence[str], Sequence[RedisArgument]]]
    ) -> list[Any]:
        """A script several times."""
        return [self.eval_script(script, keys, args) for keys, args in runs]
