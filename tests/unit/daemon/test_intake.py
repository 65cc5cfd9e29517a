"""What a node does with what arrives on its channels: decoded and routed, or counted and dropped."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from pycloud.daemon.intake import LOG_INTERVAL, DropCounter, RequestReceiver
from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.keys import Keys
from pycloud.protocol.received import EXPIRED_CLAIM, OWN_EXPIRED_CLAIM, PUBLISHED, Source

NODE = "c" * 10


class RecordingRouter:
    """Records what is routed."""

    def __init__(self) -> None:
        self.paused = False
        self.routed: list[tuple[Any, Source]] = []

    def route(self, request: Any, _payload: bytes, source: Source) -> None:
        self.routed.append((request, source))


@pytest.fixture
def router() -> RecordingRouter:
    return RecordingRouter()


@pytest.fixture
def receiver(router: RecordingRouter) -> RequestReceiver:
    return RequestReceiver(cast(Any, router), Keys("p"), 1000)


def test_each_kind_of_drop_is_logged_once_a_minute_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    dropped = DropCounter(clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            dropped.add("no_id", "create", "the request has no id")
        dropped.add("not_json", "create", "not valid JSON")
        assert len(caplog.records) == 2
        assert dropped.total == 1001
        now[0] = LOG_INTERVAL
        dropped.add("no_id", "create", "the request has no id")
    assert len(caplog.records) == 3
    assert "999 more" in caplog.messages[-1]


def test_there_is_a_handler_for_each_broadcast_channel_and_the_direct_one(receiver: RequestReceiver) -> None:
    assert set(receiver.handlers(NODE)) == {"p.create", "p.status", "p.remove", f"p.cloud.{NODE}"}


def test_a_rejected_request_is_routed_to_be_answered(receiver: RequestReceiver, router: RecordingRouter) -> None:
    receiver.handlers(NODE)["p.create"](b'{"id": "r", "script": ""}')
    ((request, source),) = router.routed
    assert (isinstance(request, RejectedRequest), source) == (True, PUBLISHED)


@pytest.mark.parametrize("paused", [False, True])
def test_what_cannot_be_answered_is_dropped_and_counted_unless_paused(
    receiver: RequestReceiver, router: RecordingRouter, paused: bool
) -> None:
    router.paused = paused
    receiver.handlers(NODE)["p.create"](b"{")
    assert (router.routed, receiver.dropped.total) == ([], 0 if paused else 1)


@pytest.mark.parametrize(("own", "source"), [(False, EXPIRED_CLAIM), (True, OWN_EXPIRED_CLAIM)])
def test_an_expired_claim_is_routed_by_its_holder(
    receiver: RequestReceiver, router: RecordingRouter, own: bool, source: Source
) -> None:
    receiver.retry_expired_claim("create", b'{"id": "r", "script": "x"}', own=own)
    assert [found for _request, found in router.routed] == [source]


def test_an_expired_claim_of_a_newer_version_is_left_to_the_nodes_that_know_it(
    receiver: RequestReceiver, router: RecordingRouter
) -> None:
    receiver.retry_expired_claim("migrate", b'{"id": "r"}', own=False)
    assert (router.routed, receiver.dropped.total) == ([], 0)
