"""When a request is sent again, and when Redis is tried again."""

from __future__ import annotations

from pycloud.client.exchange import backoff, resend_delay


def test_silences_double_and_are_bounded() -> None:
    assert [resend_delay(attempt) for attempt in range(6)] == [1, 2, 4, 8, 8, 8]


def test_pauses_double_and_are_bounded() -> None:
    assert [backoff(loss) for loss in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
