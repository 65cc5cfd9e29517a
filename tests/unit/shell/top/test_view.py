"""What ``top`` draws, without a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pycloud.client.health import HealthSnapshot
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionCache
from pycloud.shell.top.state import TopState
from pycloud.shell.top.view import Frame, draw, load_fraction, section_heights
from tests.support.heartbeats import heartbeat_of
from tests.support.top_state import NODE, RECORDS, record, state_of


def heartbeat(node: str = NODE, **fields: object) -> Heartbeat:
    return heartbeat_of(node, **{"score": 12.5, "sessions": 3, "host": "game7.example.net", **fields})


def make_frame(state: TopState | None = None, *heartbeats: Heartbeat, log: Sequence[str] = ()) -> Frame:
    cache = SessionCache()
    cache.update((), RECORDS)
    cache.mark_complete()
    health = Health().after_snapshot(HealthSnapshot(0.001, heartbeats or (heartbeat(),)), 0.0)
    return Frame(state or state_of(), health, cache.snapshot(), "redis:6379", 1000.0, log)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10), (20, 5), (1, 1), (80, 3)])
@pytest.mark.parametrize("keys", [(), ("l",), ("x",), ("/",)])
def test_it_fits_on_the_screen(size: tuple[int, int], keys: tuple[str, ...]) -> None:
    width, height = size
    many = [heartbeat(f"{number:010x}") for number in range(20)]
    lines = draw(make_frame(state_of(*keys), *many, log=["x" * 300] * 100), width, height)
    assert len(lines) <= height
    assert all(len(text) <= width for _style, text in lines)


def texts(frame: Frame, width: int = 100, height: int = 24) -> list[str]:
    return [text.rstrip() for _style, text in draw(frame, width, height)]


def test_what_stands_on_it() -> None:
    lines = texts(make_frame())
    assert lines[0] == " Redis redis:6379 up | nodes 1 up | sessions 2 live | 1 ms"
    assert lines[2].startswith("cccccccccc  game7.example.net     [||              ]   12.5         3")
    assert lines[4].startswith("0000000001cccccccccc  failed    game7:4001                  16m")
    assert lines[-1].startswith("4 by created | q quit")
    assert len(lines) == 24


def test_trouble_shows() -> None:
    frame = make_frame(None, heartbeat(draining=True, capacity=4), heartbeat("d" * 10, deaf=True))
    lines = texts(frame, 80)
    assert lines[2].endswith("3/4  draining")
    assert lines[3].endswith("deaf")
    assert texts(make_frame(None, heartbeat(draining=True, copied=True)), 80)[2].endswith("3  copied")
    offline = Frame(frame.state, Health().after_snapshot(HealthSnapshot(0.0), 0.0), frame.sessions, "redis", 0.0)
    assert any("cccccccccc  offline; sessions: 2" in line for line in texts(offline))
    assert any("last known state, its node is offline" in line for line in texts(offline, 120))
    down = Frame(frame.state, frame.health.after_outage("Redis is gone", 1.0), frame.sessions, "redis", 0.0)
    assert "DOWN" in texts(down)[0]
    assert texts(down)[-1] == "Redis is gone; showing the last known state"


def test_a_session_is_called_by_its_name() -> None:
    named = f"lobby ({record(3).id})"
    assert texts(make_frame(state_of("j", "j", "x")))[-1] == f"Remove {named} and end its processes? y/n"
    assert any(line.startswith(f"--- log of {named} ---") for line in texts(make_frame(state_of("j", "j", "l"))))


def test_nothing_that_others_write_is_obeyed() -> None:
    state = state_of("l", records=[record(1, host="\x1b[2J")])
    assert "\x1b" not in "".join(texts(make_frame(state, heartbeat(host="\x1b"), log=["\x1b[2J\a"])))


def test_the_log_takes_half_of_the_room() -> None:
    frame = make_frame(state_of("l"), log=[f"line {number}" for number in range(100)])
    lines = texts(frame)
    heights = section_heights(frame, 24)
    assert abs(heights.rows - heights.log) <= 1
    assert lines[-2] == "line 99"
    assert any(line.startswith(f"--- log of {record(1).id} ---") for line in lines)


def test_bars() -> None:
    half, full = (texts(make_frame(None, heartbeat(score=score)))[2] for score in (50.0, 700.0))
    assert "[||||||||        ]" in half
    assert f"[{'|' * 16}]" in full
    assert load_fraction(heartbeat(capacity=6), 0.0) == 0.5
    assert load_fraction(heartbeat(), 250.0) == 0.05
