"""A blocking line to the keeper, for what is done without a daemon: ends sessions that nobody watches any more.

Standard library only. The daemon has a line of its own (``runtimes/keeper_link.py``), which waits in greenlets.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from pycloud.keeper.ipc import protocol
from pycloud.keeper.storage.journal import REMOVED

_CHUNK = 1 << 16


class RefusalError(Exception):
    """The keeper's own words why it did not do what it was asked."""


class Client:
    """One connection. Raises OSError where there is no keeper or none any more, also when it says nothing in time."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._socket = protocol.connect(path, timeout)
        self._lines = protocol.Lines(longest=None)
        self._heard: list[bytes] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def end_all(self, grace: float) -> int:
        """End all sessions side by side, with ``grace`` seconds each; how many. Raises RefusalError, LineError."""
        self._ask(0, protocol.LIST)
        known = self._answer()["sessions"]
        sessions = [entry["session"] for entry in known if entry["state"] != REMOVED]
        for number, session in enumerate(sessions):
            self._ask(number, protocol.STOP, session=session, grace=grace, note={})
        for _ in sessions:
            self._answer()
        return len(sessions)

    def _ask(self, number: int, op: str, **fields: Any) -> None:
        self._socket.sendall(protocol.encode({"seq": number, "op": op, **fields}))

    def _answer(self) -> dict[str, Any]:
        """The next line that is no event."""
        while True:
            while not self._heard:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise ConnectionError("the keeper hung up")
                self._heard = self._lines.feed(data)
            answer = protocol.decode(self._heard.pop(0))
            if "error" in answer:
                raise RefusalError(answer["error"]["message"])
            if "event" not in answer:
                return answer
