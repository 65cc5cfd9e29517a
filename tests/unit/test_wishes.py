"""Wishes that cannot be carried out hold up no others, and are tried again."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import gevent

from pycloud.errors import RemoveFailed
from pycloud.sessions.manager import Cloud
from pycloud.sessions.pending_removals import Wishes
from pycloud.store.sessions import Wish


class Stub:
    """A cloud whose sessions are names; those in ``stuck`` cannot be removed."""

    def __init__(self, wishes: list[Wish], sessions: list[str]) -> None:
        self.identity = SimpleNamespace(id="c" * 10)
        self.sessions = {session: SimpleNamespace(id=session) for session in sessions}
        self.stuck: set[str] = set()
        self.granted: list[str] = []
        self.remover = self
        self.removals: list[object] = []
        self.tries: list[str] = []
        self._left = wishes
        self.registry = SimpleNamespace(wishes=lambda: list(self._left), fulfilled=self._left.remove)
        self.ledger = SimpleNamespace(grant=lambda claim, _response: self.granted.append(claim.id))

    def now(self) -> float:
        return 1000.0

    def remove_unasked(self, session: Any, gone: Callable[[], None]) -> None:
        self.tries.append(session.id)
        gevent.sleep(0)
        if session.id in self.stuck:
            raise RemoveFailed("it stays")
        gone()
        del self.sessions[session.id]


def test_one_that_fails_holds_up_no_other_and_is_tried_again() -> None:
    stub = Stub([Wish(f"s{number}", f"r{number}", "d") for number in range(3)], ["s0", "s1", "s2"])
    stub.stuck = {"s1"}
    wishes = Wishes(cast(Cloud, stub))
    wishes.fulfil()
    assert stub.granted == ["r0", "r2"]
    wishes.fulfil()
    assert stub.granted == ["r0", "r2"]
    stub.stuck = set()
    wishes.fulfil()
    assert (stub.granted, stub.sessions) == (["r0", "r2", "r1"], {})
    assert len(stub.removals) == 3, "remembered for a Redis that forgets them"


def test_a_session_is_removed_once_for_all_who_wish_it_whoever_looks() -> None:
    stub = Stub([Wish("s", f"r{number}", "d") for number in range(3)], ["s"])
    wishes = Wishes(cast(Cloud, stub))
    gevent.joinall([gevent.spawn(wishes.fulfil) for _ in range(3)], raise_error=True)
    assert stub.tries == ["s"]
    assert stub.granted == ["r0", "r1", "r2"]


def test_what_is_gone_already_is_answered() -> None:
    stub = Stub([Wish("s", "r", "d")], [])
    Wishes(cast(Cloud, stub)).fulfil()
    assert stub.granted == ["r"]
