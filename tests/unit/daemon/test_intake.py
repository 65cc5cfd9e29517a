"""What cannot be answered is counted always and said once per kind and minute."""

from __future__ import annotations

import logging

import pytest

from pycloud.daemon.intake import LOG_INTERVAL, DropCounter


def test_each_kind_is_said_once_a_minute_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    dropped = DropCounter(clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            dropped.add("no_id", "create", "the request has no id")
        dropped.add("not_json", "create", "no JSON")
        assert len(caplog.records) == 2
        assert dropped.total == 1001
        now[0] = LOG_INTERVAL
        dropped.add("no_id", "create", "the request has no id")
    assert len(caplog.records) == 3
    assert "999 more" in caplog.messages[-1]
