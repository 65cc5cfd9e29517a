"""What a journal's lines mean, and that a journal cut off anywhere still means what was written whole."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.keeper.storage import journal
from pycloud.keeper.storage.journal import JournalError, decode, encode, fold

SESSION = "0123456789abcdef0123"
times = st.floats(min_value=1, max_value=4e9)
ports = st.none() | st.integers(1, 65535)
notes = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=9), max_size=3)

starting = st.fixed_dictionaries({"starting": times, "port": ports, "record": notes})
running = st.fixed_dictionaries(
    {
        "running": times,
        "pid": st.integers(1, 1 << 22),
        "start_time": st.integers(0),
        "boot_id": st.text(),
        "port": ports,
    }
)
noted = st.fixed_dictionaries({"note": notes})
ended = st.fixed_dictionaries(
    {"ended": times, "exit_code": st.none() | st.integers(0, 255), "reason": st.none() | st.text()}
)
removing = st.fixed_dictionaries({"removing": times, "note": notes, "grace": times})
removed = st.fixed_dictionaries({"removed": times})
later = st.lists(running | noted | ended | removing | removed | st.just({"unknown": 1}), max_size=8)
journals = st.builds(lambda first, rest: [first, *rest], starting, later)

ORDER = [journal.STARTING, journal.RUNNING, journal.ENDED, journal.REMOVING, journal.REMOVED]


@given(journals)
def test_lines_survive_the_disk(lines: list[journal.JournalLine]) -> None:
    data = b"".join(map(encode, lines))
    assert decode(data) == (lines, len(data))


@given(journals, st.data())
def test_a_torn_journal_is_its_whole_lines(lines: list[journal.JournalLine], draw: st.DataObject) -> None:
    data = b"".join(map(encode, lines))
    cut = draw.draw(st.integers(0, len(data)))
    found, whole = decode(data[:cut])
    assert found == lines[: len(found)]
    assert whole == sum(len(encode(line)) for line in found) <= cut
    fold(SESSION, found)


@given(journals)
def test_a_session_never_goes_back(lines: list[journal.JournalLine]) -> None:
    states = [fold(SESSION, lines[: n + 1]).state for n in range(len(lines))]  # type: ignore[union-attr]
    assert [ORDER.index(s) for s in states] == sorted(ORDER.index(s) for s in states)


@given(journals)
def test_the_first_end_and_the_first_wish_count(lines: list[journal.JournalLine]) -> None:
    entry = fold(SESSION, lines)
    assert entry is not None
    ends = [line for line in lines if "ended" in line]
    wishes = [line for line in lines if "removing" in line]
    assert (entry.ended, entry.exit_code) == ((ends[0]["ended"], ends[0]["exit_code"]) if ends else (None, None))
    assert entry.removal_note == (wishes[0]["note"] if wishes else None)


@given(journals, st.data())
def test_ends_and_removals_may_be_written_twice(lines: list[journal.JournalLine], draw: st.DataObject) -> None:
    again = [line for line in lines if "ended" in line or "removing" in line]
    assert fold(SESSION, [*lines, *again]) == fold(SESSION, lines)


@given(journals)
def test_notes_are_merged_in_order(lines: list[journal.JournalLine]) -> None:
    entry = fold(SESSION, lines)
    expected = dict(lines[0]["record"])
    for line in lines[1:]:
        # A removal has a note of its own, which is no part of the record.
        expected.update(line["note"] if "note" in line and "removing" not in line else {})
    assert entry is not None
    assert entry.record == expected


def test_nothing_written_is_no_session() -> None:
    assert fold(SESSION, []) is None


@pytest.mark.parametrize(
    "lines",
    [
        [{"running": 1.0}],
        [{"starting": "then", "record": {}}],
        [{"starting": 1.0, "record": 7}],
        [{"starting": 1.0, "record": {}}, {"running": 1.0, "pid": "many"}],
        [{"starting": 1.0, "record": {}}, {"note": 3}],
    ],
)
def test_nonsense_is_refused(lines: list[journal.JournalLine]) -> None:
    with pytest.raises(JournalError):
        fold(SESSION, lines)


@pytest.mark.parametrize("data", [b"{\n", b"[]\n", b"\0\0\0\n", b"[" * 100_000 + b"\n"])
def test_bytes_that_are_no_lines_are_refused(data: bytes) -> None:
    with pytest.raises(JournalError):
        decode(data)


def test_entries_cannot_be_changed_by_accident() -> None:
    entry = fold(SESSION, [{"starting": 1.0, "port": 1, "record": {}}])
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.port = 2  # type: ignore[misc, union-attr]
