"""What ``top`` is made of: order, place, keys and lines, without a terminal."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import pytest

from pycloud.client import Client
from pycloud.client.pulse import Pulse
from pycloud.client.records import SessionRecord
from pycloud.protocol.messages import Rank
from pycloud.shell.live.feed import Feed
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import Roll
from pycloud.shell.top.state import State
from pycloud.shell.top.table import Place, Table, Wish, arrange
from pycloud.shell.top.view import Scene, bar, draw, share_of, shares
from pycloud.shell.top.workers import Arranger, LogReader, Remover
from tests.support.waiting import wait_until

CLOUD = "cccccccccc"


def record(number: int, state: str = "running", host: str = "game7", cloud: str = CLOUD) -> SessionRecord:
    session = f"{number:010x}{cloud}"
    return SessionRecord(cloud, session, state == "running", state, host, 4000 + number, created=float(number))


RECORDS = [
    msgspec.structs.replace(record(3), name="lobby"),
    record(1, "failed"),
    record(2, host="arena"),
    msgspec.structs.replace(record(4, "lost", "arena"), labels={"zone": "eu"}),
]


def numbers(table: Table) -> list[int]:
    return [int(row.id[:10], 16) for row in table.rows]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), [1, 2, 3, 4]),
        (Wish(reverse=True), [4, 3, 2, 1]),
        (Wish("state"), [4, 1, 2, 3]),
        (Wish("host"), [2, 4, 1, 3]),
        (Wish(text="arena"), [2, 4]),
        (Wish(text="RUN aren"), [2]),
        (Wish(text="0000000003"), [3]),
        (Wish(text="lobby"), [3]),
        (Wish(text="zone=eu"), [4]),
        (Wish("name"), [3, 1, 2, 4]),
        (Wish(text="nothing of the kind"), []),
    ],
)
def test_order_and_filter(wish: Wish, expected: list[int]) -> None:
    table = arrange(RECORDS, wish)
    assert numbers(table) == expected
    assert table.total == 4
    assert [table.rows[table.places[row.id]] for row in table.rows] == list(table.rows)


def test_the_selection_stays_with_its_session() -> None:
    table = arrange(RECORDS, Wish())
    place = Place().settled(table, 2).moved(table, 2).settled(table, 2)
    assert (place.session, place.row, place.top) == (record(3).id, 2, 1)
    turned = place.settled(arrange(RECORDS, Wish(reverse=True)), 2)
    assert (turned.session, turned.row) == (record(3).id, 1)
    gone = place.settled(arrange([each for each in RECORDS if each.id != record(3).id], Wish()), 2)
    assert (gone.session, gone.row) == (record(4).id, 2)
    assert place.settled(arrange([], Wish()), 2) == Place()


def test_the_selection_is_always_on_the_screen() -> None:
    table = arrange([record(number) for number in range(100)], Wish())
    place = Place().settled(table, 10)
    for by in (5, 30, -3, 1000, -20, -1000, 7):
        place = place.moved(table, by).settled(table, 10)
        assert place.top <= place.row < place.top + 10
        assert 0 <= place.row < 100
    assert place.settled(table, 3).row == place.row


def state_of(*keys: str, records: Sequence[SessionRecord] = RECORDS, height: int = 3) -> State:
    state = State()
    state.sized(height)
    state.arranged(arrange(records, Wish()))
    for key in keys:
        state.press(key)
    return state


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        (["down", "j"], 2),
        (["down", "up", "k"], 0),
        (["pagedown"], 2),
        ([" ", "c-f"], 3),
        (["G", "pageup"], 1),
        (["end", "home"], 0),
        (["end", "g"], 0),
    ],
)
def test_keys_move_the_selection(keys: list[str], row: int) -> None:
    assert state_of(*keys).place.row == row


def test_keys_that_change_the_wish() -> None:
    assert state_of("s").wish == Wish("state")
    assert state_of(*"sssss", "r").wish == Wish(reverse=True)
    assert state_of("/", "a", "q", "c-h", "r", " ", "x", "c-m").wish == Wish(text="ar x")
    assert state_of("/", "a", "c-m").typing is False
    assert state_of("/", "a", "escape").wish == Wish()
    assert state_of("/", "a", "b", "c-u").wish == Wish()
    assert state_of("/", "q").over is False


@pytest.mark.parametrize("key", ["q", "escape", "c-c", "c-d"])
def test_keys_that_leave(key: str) -> None:
    assert state_of(key).over


def test_removing_needs_an_answer() -> None:
    state = state_of("x")
    assert state.asked == record(1).id
    assert state.press("n") == ""
    assert (state.asked, state.said) == ("", "Nothing was removed.")
    for unsure in ("c-m", "x", "escape", "q"):
        assert state_of("x").press(unsure) == ""
        assert not state_of("x", unsure).over
    assert state_of("x").press("y") == record(1).id
    assert state_of("x", records=[]).said == "There is no session to remove."


def test_what_was_asked_about_is_removed_whatever_moves_meanwhile() -> None:
    state = state_of("x")
    state.arranged(arrange(RECORDS, Wish(reverse=True)))
    assert state.press("y") == record(1).id


def rank(cloud: str = CLOUD, **more: object) -> Rank:
    known = {"host": "game7.example.net", "runtime": "script", "heartbeat": 1.0}
    return Rank(cloud, 12.5, 0.0, 3, "i", "2", **{**known, **more})  # type: ignore[arg-type]


def scene(state: State | None = None, *ranks: Rank, log: Sequence[str] = ()) -> Scene:
    roll = Roll()
    roll.put((), RECORDS)
    roll.completed()
    health = Health().heard(Pulse(0.001, ranks or (rank(),)), 0.0)
    return Scene(state or state_of(), health, roll.picture(), "redis:6379", 1000.0, log)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10), (20, 5), (1, 1), (80, 3)])
@pytest.mark.parametrize("keys", [(), ("l",), ("x",), ("/",)])
def test_it_fits_on_the_screen(size: tuple[int, int], keys: tuple[str, ...]) -> None:
    width, height = size
    many = [rank(f"{number:010x}") for number in range(20)]
    lines = draw(scene(state_of(*keys), *many, log=["x" * 300] * 100), width, height)
    assert len(lines) <= height
    assert all(len(text) <= width for _style, text in lines)


def texts(drawn: Scene, width: int = 100, height: int = 24) -> list[str]:
    return [text.rstrip() for _style, text in draw(drawn, width, height)]


def test_what_stands_on_it() -> None:
    lines = texts(scene())
    assert lines[0] == " Redis redis:6379 up | clouds 1 up | sessions 2 live | 1 ms"
    assert lines[2].startswith("cccccccccc  game7.example.net     [||              ]   12.5         3")
    assert lines[4].startswith("0000000001cccccccccc  failed    game7:4001                  16m")
    assert lines[-1].startswith("4 by created | q leave")
    assert len(lines) == 24


def test_trouble_shows() -> None:
    drawn = scene(None, rank(draining=True, capacity=4), rank("d" * 10, deaf=True))
    lines = texts(drawn, 80)
    assert lines[2].endswith("3/4  draining")
    assert lines[3].endswith("deaf")
    assert texts(scene(None, rank(draining=True, copied=True)), 80)[2].endswith("3  copied")
    away = Scene(drawn.state, Health().heard(Pulse(0.0), 0.0), drawn.sessions, "redis", 0.0)
    assert any("cccccccccc  away; sessions: 2" in line for line in texts(away))
    assert any("as last known, its cloud is away" in line for line in texts(away, 120))
    down = Scene(drawn.state, drawn.health.lost("Redis is gone", 1.0), drawn.sessions, "redis", 0.0)
    assert "DOWN" in texts(down)[0]
    assert texts(down)[-1] == "Redis is gone; shown is what was known last"


def test_a_session_is_called_by_its_name() -> None:
    named = f"lobby ({record(3).id})"
    assert texts(scene(state_of("j", "j", "x")))[-1] == f"Remove {named}, ending what runs in it? y/n"
    assert any(line.startswith(f"--- log of {named} ---") for line in texts(scene(state_of("j", "j", "l"))))


def test_nothing_that_others_write_is_obeyed() -> None:
    state = state_of("l", records=[record(1, host="\x1b[2J")])
    assert "\x1b" not in "".join(texts(scene(state, rank(host="\x1b"), log=["\x1b[2J\a"])))


def test_the_log_takes_half_of_the_room() -> None:
    drawn = scene(state_of("l"), log=[f"line {number}" for number in range(100)])
    lines = texts(drawn)
    share = shares(drawn, 24)
    assert abs(share.rows - share.log) <= 1
    assert lines[-2] == "line 99"
    assert any(line.startswith(f"--- log of {record(1).id} ---") for line in lines)


def test_bars() -> None:
    assert bar(0.5) == "[||||||||        ]"
    assert bar(7) == "[" + "|" * 16 + "]"
    assert share_of(rank(capacity=6), 0.0) == 0.5
    assert share_of(rank(), 250.0) == 0.05


def test_ten_thousand_sessions_are_arranged_by_the_thread() -> None:
    with Client() as client:
        feed, tables, woken = Feed(client), [], threading.Event()

        def publish(table: Table | None) -> None:
            if table is not None:
                tables.append(table)
            woken.set()

        with Arranger(feed, publish, lambda _trouble: None) as arranger:
            roll = Roll()
            roll.put((), [record(number) for number in range(10_000)])
            roll.completed()
            feed.sessions = roll.picture()
            wait_until(lambda: tables and len(tables[-1].rows) == 10_000)
            arranger.want(Wish(text="00000000ff"))
            wait_until(lambda: len(tables[-1].rows) == 1)
            woken.clear()
            assert woken.wait(10), "it ticks, so that ages go on"


def test_a_log_is_read_again_and_again_and_only_the_wanted_one() -> None:
    read: list[tuple[str, Sequence[str]]] = []
    answers = {"a": b"one\ttab\ntwo\xff\n"}

    with LogReader(answers.__getitem__, lambda session, lines: read.append((session, lines))) as reader:
        reader.show("a")
        wait_until(lambda: read.count(("a", ["one     tab", "two\ufffd"])) == 2)
        reader.show("b")
        wait_until(lambda: read[-1] == ("b", ["[KeyError: 'b']"]))
        answers["b"] = b"three\n"
        wait_until(lambda: read[-1] == ("b", ["three"]))
        del answers["b"]
        wait_until(lambda: read[-1] == ("b", ["three", "[KeyError: 'b']"]))
        reader.show("")


def test_what_is_removed_is_told_one_by_one() -> None:
    said: list[str] = []

    def remove(session: str) -> str:
        if session == "b":
            raise OSError("no")
        return f"{session} removed"

    with Remover(remove, said.append) as remover:
        for session in "abc":
            remover.add(session)
        wait_until(lambda: said == ["a removed", "OSError: no", "c removed"])
