"""Histories for tests of the verdict: one session, and the machine on which all is well with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos.history import Record
from tests.chaos.machine import Machine, Process
from tests.chaos.requests import Asked, Script, Told
from tests.chaos.response_listener import Heard
from tests.chaos.violation import Violation

CLOUD, OTHER = "c" * 10, "d" * 10
SESSION, TWIN = "1" * 10 + CLOUD, "2" * 10 + OTHER
EMPTY = Machine({}, {}, {}, frozenset(), {}, (), {})


def heard(at: float, **fields: Any) -> Heard:
    return Heard(at, json.dumps({"cloud": CLOUD, "id": SESSION, **fields}).encode())


def asked(op: str, *times: float, **about: Any) -> Asked:
    return Asked(op, f"{op}1", b"", session="" if op == "create" else SESSION, published=list(times), **about)


class History:
    """A create of SESSION that was told, and whatever a test adds."""

    def __init__(self, script: Script = Script.SLEEPS) -> None:
        self.create = asked("create", 1.0, script=script)
        self.requests = [self.create]
        self.answers = {("create", "create1"): [heard(1.5, state="running")]}
        self.told = {SESSION: Told(SESSION, self.create, 1.5)}

    def add(self, request: Asked, *answers: Heard) -> History:
        self.requests.append(request)
        self.answers[request.op, request.id] = list(answers)
        if request.op == "remove":
            self.told[SESSION].removal = request
        return self

    def record(self, **about: Any) -> Record:
        return Record(self.requests, self.told, lambda op, id_: self.answers.get((op, id_), []), **about)


def alive(session: str = SESSION, request: str = "create1") -> Machine:
    """The machine on which all is well with one session."""
    return Machine(
        processes={session: [Process(7, session, session[10:], request)]},
        paths={session: [Path("/data/work") / session]},
        records={session: {"state": "running"}},
        listed=frozenset({session}),
        owned={session[10:]: frozenset({session})},
        claims=(),
        committed={},
    )


def kinds(found: Iterator[Violation]) -> set[str]:
    return {violation.kind for violation in found}
