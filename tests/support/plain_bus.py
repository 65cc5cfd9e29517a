"""A stand-in for the bus that needs no patched process: the same calls, one after the other, on a real Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from pycloud.bus import Argument, Command, Script


class PlainBus:
    """Has the bus's methods that the registry uses."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def call(self, *command: Argument) -> Any:
        """One command."""
        with self._client.pipeline(transaction=False) as pipe:
            return pipe.execute_command(*command).execute()[0]  # a pipeline parses no replies of plain commands

    def call_many(self, commands: Sequence[Command]) -> list[Any]:
        """Several."""
        return [self.call(*command) for command in commands]

    def post(self, *command: Argument) -> None:
        """One whose reply nobody wants."""
        self.call(*command)

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """A script."""
        return self._client.eval(script.source, len(keys), *keys, *args)

    def run_many(self, script: Script, runs: Sequence[tuple[Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """A script several times."""
        return [self.run(script, keys, args) for keys, args in runs]
