"""A node sends nothing before it is sure that no other daemon sends heartbeats with its id."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from pycloud.config.identity import Identity
from pycloud.daemon import duplicate_id
from pycloud.daemon.duplicate_id import wait_for_duplicate_to_stop
from pycloud.protocol.messages import Heartbeat
from pycloud.store.sessions import SessionStore

CLOUD, OURS, PREVIOUS, OTHER = "c" * 10, "ours", "previous", "other"
#: Seconds between two heartbeats of the other daemon, which need not be ours.
INTERVAL = 2.0
WAIT = 1.5 * INTERVAL


def heartbeat(instance: str, sent: float = 1.0) -> Heartbeat:
    """The last heartbeat of ``instance`` with our id, sent when its clock was at ``sent``."""
    return Heartbeat(CLOUD, 1.0, 0.0, 0, instance, "2", "h", "script", INTERVAL, sent=sent)


class Waiting:
    """A wait during which ``stored`` returns what is in Redis so many seconds after the start."""

    def __init__(self) -> None:
        self.stored: Callable[[float], Heartbeat | None] = lambda _at: None
        self.slept: list[float] = []

    def own_heartbeat(self) -> Heartbeat | None:
        return self.stored(sum(self.slept))

    def wait(self, stored: Callable[[float], Heartbeat | None], previous: str = PREVIOUS) -> list[float]:
        """How long it sleeps between its checks."""
        self.stored = stored
        wait_for_duplicate_to_stop(cast(SessionStore, self), Identity(CLOUD, "h", OURS), previous)
        return self.slept


def sends_until(
    end: float, instance: str = OTHER, then: Heartbeat | None = None
) -> Callable[[float], Heartbeat | None]:
    """A daemon that sends heartbeats until ``end``; after that, ``then`` is in Redis."""
    return lambda at: heartbeat(instance, at // INTERVAL) if at < end else then


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    made = Waiting()
    monkeypatch.setattr(duplicate_id, "gevent", SimpleNamespace(sleep=made.slept.append))
    return made


@pytest.mark.parametrize("found", [None, heartbeat(OURS), heartbeat(PREVIOUS)])
def test_without_another_daemon_there_is_no_wait(waiting: Waiting, found: Heartbeat | None) -> None:
    assert waiting.wait(lambda _at: found) == []


def test_a_last_heartbeat_of_another_daemon_is_checked_once(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    """It may have outlived its daemon in Redis, which would send the next one within one and a half intervals."""
    assert waiting.wait(lambda _at: heartbeat(OTHER)) == [WAIT]
    assert caplog.records == [], "it may be of an earlier daemon of this node"


def test_a_heartbeat_that_expires_meanwhile_ends_the_wait(waiting: Waiting) -> None:
    assert waiting.wait(sends_until(INTERVAL)) == [WAIT]


def test_a_copied_directory_has_no_previous_instance_and_waits_for_the_original(waiting: Waiting) -> None:
    assert waiting.wait(sends_until(10 * INTERVAL, PREVIOUS), previous="") == [WAIT] * 7


def test_the_wait_lasts_as_long_as_another_daemon_sends_heartbeats(waiting: Waiting) -> None:
    assert waiting.wait(sends_until(1000 * INTERVAL)) == [WAIT] * 667


def test_a_duplicate_id_and_its_end_are_logged_once_each(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    waiting.wait(sends_until(20 * INTERVAL))
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    first, last = (record.getMessage() for record in caplog.records)
    assert CLOUD in first
    assert "pycloud --new-id" in first, "the remedy"
    assert "has ended" in last


def test_a_heartbeat_of_the_previous_instance_ends_the_wait(waiting: Waiting) -> None:
    assert waiting.wait(sends_until(10 * INTERVAL, then=heartbeat(PREVIOUS))) == [WAIT] * 7


def test_a_daemon_that_is_restarted_meanwhile_is_still_waited_for(waiting: Waiting) -> None:
    """Each restart has an instance of its own, and its clock may begin anew."""
    last = heartbeat(PREVIOUS)
    assert waiting.wait(lambda at: heartbeat(f"other {at // 5}", sent=at) if at < 20.0 else last) == [WAIT] * 7
