"""A blocking client of the keeper for processes without a daemon: it ends sessions that no daemon watches any more.

Standard library only. The daemon has a client of its own, in ``runtimes/script/keeper_client.py``.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from pycloud.keeper.ipc import protocol
from pycloud.keeper.storage.journal import REMOVED

_CHUNK = 1 << 16


class BlockingKeeperClient:
    """One connection to the keeper at ``path``; ``timeout`` is in seconds.

    All methods raise OSError where there is no keeper, the connection breaks, or there is no response within
    ``timeout``.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._socket = protocol.connect(path, timeout)
        self._splitter = protocol.LineSplitter(max_size=None)
        self._received: list[bytes] = []

    def __enter__(self) -> BlockingKeeperClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def stop_all(self, grace: float) -> int:
        """End all sessions in parallel, each with ``grace`` seconds; return their number.

        Raises protocol.OperationRejected and protocol.LineError.
        """
        self._send_request(0, protocol.LIST)
        entries = self._read_response()["sessions"]
        sessions = [entry["session"] for entry in entries if entry["state"] != REMOVED]
        for number, session in enumerate(sessions):
            self._send_request(number, protocol.STOP, session=session, grace=grace, note={})
        for _ in sessions:
            self._read_response()
        return len(sessions)

    def _send_request(self, seq: int, op: str, **fields: Any) -> None:
        self._socket.sendall(protocol.encode({"seq": seq, "op": op, **fields}))

    def _read_response(self) -> dict[str, Any]:
        """Return the next message that is not an event."""
        while True:
            while not self._received:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise ConnectionError("the keeper closed the connection")
                self._received = self._splitter.feed(data)
            response = protocol.decode(self._received.pop(0))
            if "error" in response:
                raise protocol.OperationRejected.from_response(response)
            if "event" not in response:
                return response
