"""Journals on the disk: torn, unreadable, on a disk that is full, and deleted."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pycloud.keeper.storage.journal import JournalLine
from pycloud.keeper.storage.journal_store import JournalStore

SESSION = "0123456789abcdef0123"


def test_a_torn_line_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    store = JournalStore(tmp_path)
    store.create(SESSION, {"starting": 1.0, "port": 1, "record": {}})
    with Path(store.path(SESSION)).open("ab") as file:
        file.write(b'{"ended": 3')
    again = JournalStore(tmp_path)
    again.load()
    again.append(SESSION, {"removed": 4.0})
    third = JournalStore(tmp_path)
    third.load()
    assert third.entries == again.entries
    assert third.entries[SESSION].removed == 4.0


def test_an_unreadable_journal_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / f"{SESSION}.journal").write_bytes(b"no journal\n")
    store = JournalStore(tmp_path)
    store.load()
    assert not store.entries
    assert [path.name for path in tmp_path.iterdir()] == [f"{SESSION}.bad"]
    assert store.is_corrupt(SESSION)
    assert "set aside" in caplog.text


def test_what_a_full_disk_refuses_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    store = JournalStore(directory)
    store.create(SESSION, {"starting": 1.0, "port": 1, "record": {}})
    aside = directory.rename(tmp_path / "aside")  # opening it for appending fails now, as on a disk that is gone
    store.append_with_retry(SESSION, {"ended": 2.0, "exit_code": 7, "reason": None}, now=100.0)
    store.append_with_retry(SESSION, {"note": {"a": 1}}, now=100.5)
    assert store.entries[SESSION].exit_code == 7
    due = store.due()
    assert due is not None
    assert due > 100.5
    store.tick(due)
    assert store.due() is not None
    aside.rename(directory)
    store.tick(due)
    assert store.due() is None
    again = JournalStore(directory)
    again.load()
    assert again.entries == store.entries


def test_what_was_deleted_is_not_waited_for(tmp_path: Path) -> None:
    store = JournalStore(tmp_path)
    store.create(SESSION, {"starting": 1.0, "port": 1, "record": {}})
    assert not store.has_unwritten
    tmp_path.joinpath("elsewhere").mkdir()
    Path(store.path(SESSION)).rename(tmp_path / "elsewhere" / "journal")
    store.append_with_retry(SESSION, {"ended": 2.0, "exit_code": 7, "reason": None}, now=100.0)
    assert not store.has_unwritten
    (tmp_path / "elsewhere" / "journal").rename(Path(store.path(SESSION)))
    assert store.has_unwritten
    store.tick(200.0)
    assert not store.has_unwritten


def test_a_deleted_journal_does_not_keep_those_of_later_sessions_from_being_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, later = tmp_path / "state", "1" * 20
    directory.mkdir()
    store = JournalStore(directory)
    for session in (SESSION, later):
        store.create(session, {"starting": 1.0, "port": 1, "record": {}})
    aside = directory.rename(tmp_path / "aside")
    for session in (SESSION, later):
        store.append_with_retry(session, {"ended": 2.0, "exit_code": 7, "reason": None}, now=100.0)
    aside.rename(directory)
    Path(store.path(SESSION)).unlink()

    store.tick(102.0)
    again = JournalStore(directory)
    again.load()
    assert again.entries == {later: store.entries[later]}
    assert store.due() is None, "there is nothing to wait for"
    assert f"{SESSION}.journal" in caplog.text


def test_a_journal_that_cannot_be_written_yet_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, later = JournalStore(tmp_path), "1" * 20
    for session in (SESSION, later):
        store.create(session, {"starting": 1.0, "port": 1, "record": {}})
    write, refused = store._write_lines, {SESSION, later}

    def write_lines(session: str, lines: list[JournalLine]) -> None:
        if session in refused:
            raise OSError(errno.ENOSPC, "full")
        write(session, lines)

    monkeypatch.setattr(store, "_write_lines", write_lines)
    for session in (SESSION, later):
        store.append_with_retry(session, {"ended": 2.0, "exit_code": 7, "reason": None}, now=100.0)
    refused.remove(later)
    store.tick(102.0)
    assert b"exit_code" in Path(store.path(later)).read_bytes()
    assert store.due() == 104.0, "the other one is tried again"
    refused.clear()
    store.tick(104.0)
    assert store.due() is None
