"""How much of a log may be on its way to a viewer, and when the viewer counts as gone."""

from __future__ import annotations

from pycloud.sessions.log_streams import FlowControl

WINDOW = 64 * 1024


def flow_control(lease: float = 15.0) -> FlowControl:
    return FlowControl(1000, WINDOW, lease, now=100.0)


def test_no_more_is_on_its_way_than_the_window() -> None:
    flow = flow_control()
    sizes = []
    while room := flow.available():
        sizes.append(min(room, 10_000))
        flow.sent(sizes[-1], 100.0)
    assert WINDOW * 3 // 4 <= sum(sizes) <= WINDOW
    assert flow.offset == 1000 + sum(sizes)


def test_what_was_dealt_with_makes_room_again() -> None:
    flow = flow_control()
    flow.sent(WINDOW // 2, 100.0)
    flow.sent(WINDOW // 2, 100.0)
    assert flow.available() == 0
    flow.acknowledged(1000 + WINDOW // 2 - 1)
    assert flow.available() == 0
    flow.acknowledged(1000 + WINDOW // 2)
    assert flow.available() == WINDOW // 2
    flow.acknowledged(10**9)
    assert flow.available() == WINDOW


def test_what_is_skipped_takes_no_room() -> None:
    flow = flow_control()
    flow.sent(WINDOW // 4, 100.0)
    flow.skip(10**9)
    flow.sent(WINDOW // 4, 100.0)
    assert (flow.offset, flow.available()) == (1000 + 10**9 + WINDOW // 2, WINDOW // 2)
    flow.acknowledged(flow.offset)
    assert flow.available() == WINDOW


def test_a_little_room_is_not_worth_a_message() -> None:
    flow = flow_control()
    flow.sent(WINDOW - 100, 100.0)
    assert flow.available() == 0


def test_a_silent_viewer_loses_its_lease() -> None:
    flow = flow_control(lease=6.0)
    assert not flow.expired(105.9)
    flow.touch(105.0)
    assert not flow.expired(110.9)
    assert flow.expired(111.0)


def test_an_owner_with_nothing_to_say_says_that_it_lives() -> None:
    flow = flow_control(lease=6.0)
    assert flow.wait_timeout(100.0) == 2.0
    assert not flow.keepalive_due(101.9)
    flow.sent(10, 101.0)
    assert not flow.keepalive_due(102.0)
    assert flow.keepalive_due(103.0)
    assert not flow.keepalive_due(103.0)
    assert flow.wait_timeout(104.5) == 0.5
    assert flow.keepalive_due(105.5)
    assert flow.wait_timeout(105.5) == 0.5  # the lease is over before the next beat
    assert flow.wait_timeout(200.0) == 0.0
