"""An engine's events, read one by one."""

from __future__ import annotations

from pycloud.runtimes.docker.engine.events import parse_event

SESSION = "1" * 20


def test_events_that_make_no_sense() -> None:
    attributes = {"pycloud.session": SESSION, "exitCode": "137"}
    raw = {"Action": "die", "Actor": {"Attributes": attributes}, "timeNano": 1_500_000_000}
    event = parse_event(raw)
    assert event is not None
    assert (event.session, event.action, event.at, event.exit_code) == (SESSION, "die", 1.5, 137)
    assert parse_event({**raw, "Action": "exec_create: sh"}) is None
    assert parse_event({}) is None
