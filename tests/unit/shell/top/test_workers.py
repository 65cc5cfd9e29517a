"""The threads of ``top`` that sort, read logs and remove."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pycloud.client import Client
from pycloud.shell.live.feed import LiveState
from pycloud.shell.live.session_cache import SessionCache
from pycloud.shell.top.table import Table, TableQuery
from pycloud.shell.top.workers import LogWorker, RemovalWorker, SortWorker
from tests.support.top_state import record
from tests.support.waiting import wait_until


def test_ten_thousand_sessions_are_arranged_by_the_thread() -> None:
    with Client() as client:
        live_state, tables, woken = LiveState(client), [], threading.Event()

        def publish(table: Table | None) -> None:
            if table is not None:
                tables.append(table)
            woken.set()

        with SortWorker(live_state, publish, lambda _error: None) as worker:
            cache = SessionCache()
            cache.update((), [record(number) for number in range(10_000)])
            cache.mark_complete()
            live_state.sessions = cache.snapshot()
            wait_until(lambda: tables and len(tables[-1].rows) == 10_000)
            worker.set_query(TableQuery(filter_text="00000000ff"))
            wait_until(lambda: len(tables[-1].rows) == 1)
            woken.clear()
            assert woken.wait(10), "it ticks, so that ages go on"


def test_a_log_is_read_again_and_again_and_only_the_wanted_one() -> None:
    read: list[tuple[str, Sequence[str]]] = []
    answers = {"a": b"one\ttab\ntwo\xff\n"}

    with LogWorker(answers.__getitem__, lambda session, lines: read.append((session, lines))) as worker:
        worker.show("a")
        wait_until(lambda: read.count(("a", ["one     tab", "two\ufffd"])) == 2)
        worker.show("b")
        wait_until(lambda: read[-1] == ("b", ["[KeyError: 'b']"]))
        answers["b"] = b"three\n"
        wait_until(lambda: read[-1] == ("b", ["three"]))
        del answers["b"]
        wait_until(lambda: read[-1] == ("b", ["three", "[KeyError: 'b']"]))
        worker.show("")


def test_what_is_removed_is_told_one_by_one() -> None:
    messages: list[str] = []

    def remove(session: str) -> str:
        if session == "b":
            raise OSError("no")
        return f"{session} removed"

    with RemovalWorker(remove, messages.append) as worker:
        for session in "abc":
            worker.add(session)
        wait_until(lambda: messages == ["a removed", "OSError: no", "c removed"])
