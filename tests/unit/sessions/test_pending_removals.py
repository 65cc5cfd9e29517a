"""Wishes that cannot be carried out hold up no others, and are tried again."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import gevent

from pycloud.errors import RemoveFailed
from pycloud.sessions.manager import SessionManager
from pycloud.sessions.pending_removals import PendingRemovals
from pycloud.store.sessions import PendingRemoval


class Stub:
    """A cloud whose sessions are names; those in ``stuck`` cannot be removed."""

    def __init__(self, wishes: list[PendingRemoval], sessions: list[str]) -> None:
        self.identity = SimpleNamespace(id="c" * 10)
        self.sessions = {session: SimpleNamespace(id=session) for session in sessions}
        self.stuck: set[str] = set()
        self.granted: list[str] = []
        self.remover = self
        self.recent_responses: list[object] = []
        self.tries: list[str] = []
        self._left = wishes
        self.session_store = SimpleNamespace(
            list_pending_removals=lambda: list(self._left), delete_pending_removal=self._left.remove
        )
        self.request_store = SimpleNamespace(
            store_deferred_response=lambda claim, _response: self.granted.append(claim.id)
        )

    def now(self) -> float:
        return 1000.0

    def remove(self, session: Any, on_stopped: Callable[[], None]) -> None:
        self.tries.append(session.id)
        gevent.sleep(0)
        if session.id in self.stuck:
            raise RemoveFailed("it stays")
        on_stopped()
        del self.sessions[session.id]


def test_one_that_fails_holds_up_no_other_and_is_tried_again() -> None:
    stub = Stub([PendingRemoval(f"s{number}", f"r{number}", "d") for number in range(3)], ["s0", "s1", "s2"])
    stub.stuck = {"s1"}
    wishes = PendingRemovals(cast(SessionManager, stub))
    wishes.process()
    assert stub.granted == ["r0", "r2"]
    wishes.process()
    assert stub.granted == ["r0", "r2"]
    stub.stuck = set()
    wishes.process()
    assert (stub.granted, stub.sessions) == (["r0", "r2", "r1"], {})
    assert len(stub.recent_responses) == 3, "remembered for a Redis that forgets them"


def test_a_session_is_removed_once_for_all_who_wish_it_whoever_looks() -> None:
    stub = Stub([PendingRemoval("s", f"r{number}", "d") for number in range(3)], ["s"])
    wishes = PendingRemovals(cast(SessionManager, stub))
    gevent.joinall([gevent.spawn(wishes.process) for _ in range(3)], raise_error=True)
    assert stub.tries == ["s"]
    assert stub.granted == ["r0", "r1", "r2"]


def test_what_is_gone_already_is_answered() -> None:
    stub = Stub([PendingRemoval("s", "r", "d")], [])
    PendingRemovals(cast(SessionManager, stub)).process()
    assert stub.granted == ["r"]
