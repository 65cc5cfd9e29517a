"""Sessions as the tests of ``top`` list them, and the state of its screen after some keys."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pycloud.client.records import SessionRecord
from pycloud.shell.top.state import TopState
from pycloud.shell.top.table import TableQuery, build_table

NODE = "c" * 10


def record(number: int, state: str = "running", host: str = "game7", node: str = NODE) -> SessionRecord:
    """The record of a session whose id, port and creation time are made from ``number``."""
    session = f"{number:010x}{node}"
    return SessionRecord(node, session, state == "running", state, host, 4000 + number, created=float(number))


RECORDS = [
    msgspec.structs.replace(record(3), name="lobby"),
    record(1, "failed"),
    record(2, host="arena"),
    msgspec.structs.replace(record(4, "lost", "arena"), labels={"zone": "eu"}),
]


def state_of(*keys: str, records: Sequence[SessionRecord] = RECORDS, height: int = 3) -> TopState:
    """The state after these keys, where ``height`` of ``records`` fit on the screen."""
    state = TopState()
    state.set_height(height)
    state.set_table(build_table(records, TableQuery()))
    for key in keys:
        state.press(key)
    return state
