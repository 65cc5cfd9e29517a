"""What ``top`` is made of: order, place, keys and lines, without a terminal."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import pytest

from pycloud.client import Client
from pycloud.client.health import HealthSnapshot
from pycloud.client.records import SessionRecord
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.live.feed import LiveState
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionCache
from pycloud.shell.top.state import TopState
from pycloud.shell.top.table import Selection, Table, TableQuery, build_table
from pycloud.shell.top.view import Frame, bar, draw, load_fraction, section_heights
from pycloud.shell.top.workers import LogWorker, RemovalWorker, SortWorker
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
        (TableQuery(), [1, 2, 3, 4]),
        (TableQuery(reverse=True), [4, 3, 2, 1]),
        (TableQuery("state"), [4, 1, 2, 3]),
        (TableQuery("host"), [2, 4, 1, 3]),
        (TableQuery(filter_text="arena"), [2, 4]),
        (TableQuery(filter_text="RUN aren"), [2]),
        (TableQuery(filter_text="0000000003"), [3]),
        (TableQuery(filter_text="lobby"), [3]),
        (TableQuery(filter_text="zone=eu"), [4]),
        (TableQuery("name"), [3, 1, 2, 4]),
        (TableQuery(filter_text="nothing of the kind"), []),
    ],
)
def test_order_and_filter(wish: TableQuery, expected: list[int]) -> None:
    table = build_table(RECORDS, wish)
    assert numbers(table) == expected
    assert table.total == 4
    assert [table.rows[table.index_by_session[row.id]] for row in table.rows] == list(table.rows)


def test_the_selection_stays_with_its_session() -> None:
    table = build_table(RECORDS, TableQuery())
    place = Selection().adjusted(table, 2).moved(table, 2).adjusted(table, 2)
    assert (place.session, place.row, place.first_visible) == (record(3).id, 2, 1)
    turned = place.adjusted(build_table(RECORDS, TableQuery(reverse=True)), 2)
    assert (turned.session, turned.row) == (record(3).id, 1)
    gone = place.adjusted(build_table([each for each in RECORDS if each.id != record(3).id], TableQuery()), 2)
    assert (gone.session, gone.row) == (record(4).id, 2)
    assert place.adjusted(build_table([], TableQuery()), 2) == Selection()


def test_the_selection_is_always_on_the_screen() -> None:
    table = build_table([record(number) for number in range(100)], TableQuery())
    place = Selection().adjusted(table, 10)
    for by in (5, 30, -3, 1000, -20, -1000, 7):
        place = place.moved(table, by).adjusted(table, 10)
        assert place.first_visible <= place.row < place.first_visible + 10
        assert 0 <= place.row < 100
    assert place.adjusted(table, 3).row == place.row


def state_of(*keys: str, records: Sequence[SessionRecord] = RECORDS, height: int = 3) -> TopState:
    state = TopState()
    state.set_height(height)
    state.set_table(build_table(records, TableQuery()))
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
    assert state_of(*keys).selection.row == row


def test_keys_that_change_the_wish() -> None:
    assert state_of("s").query == TableQuery("state")
    assert state_of(*"sssss", "r").query == TableQuery(reverse=True)
    assert state_of("/", "a", "q", "c-h", "r", " ", "x", "c-m").query == TableQuery(filter_text="ar x")
    assert state_of("/", "a", "c-m").editing_filter is False
    assert state_of("/", "a", "escape").query == TableQuery()
    assert state_of("/", "a", "b", "c-u").query == TableQuery()
    assert state_of("/", "q").exiting is False


@pytest.mark.parametrize("key", ["q", "escape", "c-c", "c-d"])
def test_keys_that_leave(key: str) -> None:
    assert state_of(key).exiting


def test_removing_needs_an_answer() -> None:
    state = state_of("x")
    assert state.pending_removal == record(1).id
    assert state.press("n") == ""
    assert (state.pending_removal, state.message) == ("", "Nothing was removed.")
    for unsure in ("c-m", "x", "escape", "q"):
        assert state_of("x").press(unsure) == ""
        assert not state_of("x", unsure).exiting
    assert state_of("x").press("y") == record(1).id
    assert state_of("x", records=[]).message == "There is no session to remove."


def test_what_was_asked_about_is_removed_whatever_moves_meanwhile() -> None:
    state = state_of("x")
    state.set_table(build_table(RECORDS, TableQuery(reverse=True)))
    assert state.press("y") == record(1).id


def rank(cloud: str = CLOUD, **more: object) -> Heartbeat:
    known = {"host": "game7.example.net", "runtime": "script", "heartbeat": 1.0}
    return Heartbeat(cloud, 12.5, 0.0, 3, "i", "2", **{**known, **more})  # type: ignore[arg-type]


def scene(state: TopState | None = None, *ranks: Heartbeat, log: Sequence[str] = ()) -> Frame:
    roll = SessionCache()
    roll.update((), RECORDS)
    roll.mark_complete()
    health = Health().after_snapshot(HealthSnapshot(0.001, ranks or (rank(),)), 0.0)
    return Frame(state or state_of(), health, roll.snapshot(), "redis:6379", 1000.0, log)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10), (20, 5), (1, 1), (80, 3)])
@pytest.mark.parametrize("keys", [(), ("l",), ("x",), ("/",)])
def test_it_fits_on_the_screen(size: tuple[int, int], keys: tuple[str, ...]) -> None:
    width, height = size
    many = [rank(f"{number:010x}") for number in range(20)]
    lines = draw(scene(state_of(*keys), *many, log=["x" * 300] * 100), width, height)
    assert len(lines) <= height
    assert all(len(text) <= width for _style, text in lines)


def texts(drawn: Frame, width: int = 100, height: int = 24) -> list[str]:
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
    away = Frame(drawn.state, Health().after_snapshot(HealthSnapshot(0.0), 0.0), drawn.sessions, "redis", 0.0)
    assert any("cccccccccc  away; sessions: 2" in line for line in texts(away))
    assert any("as last known, its cloud is away" in line for line in texts(away, 120))
    down = Frame(drawn.state, drawn.health.after_outage("Redis is gone", 1.0), drawn.sessions, "redis", 0.0)
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
    share = section_heights(drawn, 24)
    assert abs(share.rows - share.log) <= 1
    assert lines[-2] == "line 99"
    assert any(line.startswith(f"--- log of {record(1).id} ---") for line in lines)


def test_bars() -> None:
    assert bar(0.5) == "[||||||||        ]"
    assert bar(7) == "[" + "|" * 16 + "]"
    assert load_fraction(rank(capacity=6), 0.0) == 0.5
    assert load_fraction(rank(), 250.0) == 0.05


def test_ten_thousand_sessions_are_arranged_by_the_thread() -> None:
    with Client() as client:
        feed, tables, woken = LiveState(client), [], threading.Event()

        def publish(table: Table | None) -> None:
            if table is not None:
                tables.append(table)
            woken.set()

        with SortWorker(feed, publish, lambda _trouble: None) as arranger:
            roll = SessionCache()
            roll.update((), [record(number) for number in range(10_000)])
            roll.mark_complete()
            feed.sessions = roll.snapshot()
            wait_until(lambda: tables and len(tables[-1].rows) == 10_000)
            arranger.set_query(TableQuery(filter_text="00000000ff"))
            wait_until(lambda: len(tables[-1].rows) == 1)
            woken.clear()
            assert woken.wait(10), "it ticks, so that ages go on"


def test_a_log_is_read_again_and_again_and_only_the_wanted_one() -> None:
    read: list[tuple[str, Sequence[str]]] = []
    answers = {"a": b"one\ttab\ntwo\xff\n"}

    with LogWorker(answers.__getitem__, lambda session, lines: read.append((session, lines))) as reader:
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

    with RemovalWorker(remove, said.append) as remover:
        for session in "abc":
            remover.add(session)
        wait_until(lambda: said == ["a removed", "OSError: no", "c removed"])
