"""The log of a script session, read as it grows: woken by the kernel, or looking by itself where that cannot be."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gevent
import pytest

from pycloud.keeper.storage import log_file
from pycloud.keeper.system.inotify import InotifyWatcher
from pycloud.runtimes import OutputChunk, ReadFrom
from pycloud.runtimes.script.file_watcher import FileWatcher
from pycloud.runtimes.script.log_reader import (
    RESUME_BEFORE_END,
    UNWATCHED_POLL_INTERVAL,
    ScriptLogReader,
    resume_offset,
)
from tests.support.files import append


@pytest.fixture
def growth() -> Iterator[FileWatcher]:
    growth = FileWatcher()
    yield growth
    growth.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    return path


def woken(calls: list[str], count: int) -> bool:
    with gevent.Timeout(5, False):
        while len(calls) < count:
            gevent.sleep(0.001)
    return len(calls) == count


def test_all_readers_of_a_log_are_woken_once(path: Path, growth: FileWatcher) -> None:
    calls: list[str] = []
    readers = [ScriptLogReader(path, ReadFrom(offset=0), False, growth, partial(calls.append, name)) for name in "ab"]
    for reader in readers:
        assert reader.read(100) == OutputChunk(0, b"one\n")
        assert reader.read(100) is None
        assert reader.poll_interval == math.inf
        assert not reader.is_complete(session_ended=False)
    append(path, b"two\n")
    append(path, b"three\n")
    assert woken(calls, 2)
    assert sorted(calls) == ["a", "b"]
    for reader in readers:
        assert reader.read(100) == OutputChunk(4, b"two\nthree\n")
        assert reader.read(100) is None
        assert reader.is_complete(session_ended=True)
    readers[0].close()
    append(path, b"four\n")
    assert woken(calls, 3)
    assert calls[2] == "b"


def test_without_a_watch_it_looks_by_itself(path: Path, growth: FileWatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_watches: InotifyWatcher, _path: Path) -> int:
        raise OSError(errno.ENOSPC, "no watches left")

    monkeypatch.setattr(InotifyWatcher, "add", none_left)
    reader = ScriptLogReader(path, ReadFrom(tail=0), False, growth, lambda: None)
    assert reader.read(100) is None
    assert reader.poll_interval == UNWATCHED_POLL_INTERVAL
    append(path, b"two\n")
    assert reader.read(100) == OutputChunk(4, b"two\n")


def test_who_was_overtaken_goes_on_close_to_the_end(path: Path, growth: FileWatcher) -> None:
    reader = ScriptLogReader(path, ReadFrom(offset=0), False, growth, lambda: None)
    reader.read(100)
    append(path, b"x" * (4 * RESUME_BEFORE_END))
    log_file.limit_size(str(path), 2 * RESUME_BEFORE_END)
    size = path.stat().st_size
    assert reader.read(3) == OutputChunk(size - RESUME_BEFORE_END, b"xxx")
    assert reader.read(3) == OutputChunk(size - RESUME_BEFORE_END + 3, b"xxx")
    late = ScriptLogReader(path, ReadFrom(offset=0), False, growth, lambda: None).read(3)
    assert late is not None
    assert size - 2 * RESUME_BEFORE_END - path.stat().st_blksize < late.offset <= size - 2 * RESUME_BEFORE_END


def test_characters_stay_whole_where_the_rest_is_there(path: Path, growth: FileWatcher) -> None:
    path.write_bytes("aüb".encode())
    reader = ScriptLogReader(path, ReadFrom(offset=0), False, growth, lambda: None)
    assert [reader.read(2), reader.read(2), reader.read(2)] == [
        OutputChunk(0, b"a"),
        OutputChunk(1, "ü".encode()),
        OutputChunk(3, b"b"),
    ]


def test_a_log_that_is_gone(path: Path, growth: FileWatcher) -> None:
    reader = ScriptLogReader(path, ReadFrom(tail=0), False, growth, lambda: None)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        reader.read(100)
    with pytest.raises(FileNotFoundError):
        ScriptLogReader(path, ReadFrom(tail=0), False, growth, lambda: None)


@pytest.mark.parametrize(
    ("wanted", "kept", "begun", "expected"),
    [
        (500, 500, True, 500),  # all is there
        (500, 100, True, 500),
        (500, 800, False, 800),  # who begins gets the oldest that is kept
        (500, 800, True, 10**9 - RESUME_BEFORE_END),  # who was overtaken goes on close to the end
        (500, 10**9 - 10, True, 10**9 - 10),  # but not with what is freed
    ],
)
def test_where_to_go_on_in_a_log(wanted: int, kept: int, begun: bool, expected: int) -> None:
    assert resume_offset(wanted, kept, 10**9, begun) == expected
