"""Bounded logs: old blocks go, offsets stay, and no hole is ever read as text."""

from __future__ import annotations

import errno
import os
import select
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.keeper.storage import log_file
from pycloud.keeper.storage.log_limiter import MAX_DELAY, MIN_DELAY, UNWATCHED_DELAY, LogLimiter, next_delay
from pycloud.keeper.system import inotify
from pycloud.keeper.system.inotify import InotifyWatcher
from tests.support.requirements import missing

KEEP = 64 * 1024


@pytest.fixture(params=["disk", "memory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on the disk's file system, and one on tmpfs."""
    if request.param == "disk":
        yield tmp_path
        return
    shared = Path("/dev/shm")
    if not shared.is_dir():
        missing("this host has no /dev/shm")
    path = Path(tempfile.mkdtemp(dir=shared))
    yield path
    shutil.rmtree(path)


def lines(first: int, count: int) -> bytes:
    return b"".join(b"%015d\n" % number for number in range(first, first + count))


def write(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def used(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("holes", [True, False])
def test_old_blocks_are_freed_and_offsets_stay(directory: Path, monkeypatch: pytest.MonkeyPatch, holes: bool) -> None:
    if not holes:
        monkeypatch.setattr(log_file, "punch_hole", no_holes)
    path = directory / "log"
    everything = lines(0, 100_000)
    written = 0
    fd = log_file.create(path)
    try:
        for part in range(10):
            written += os.write(fd, everything[part * 160_000 : (part + 1) * 160_000])
            log_file.limit_size(path, KEEP)
            assert path.stat().st_size == written
            assert KEEP <= used(path) <= KEEP + 2 * 4096
            offset, data = log_file.tail(path, 10 * KEEP)
            assert len(data) >= KEEP
            assert data == everything[offset:written]
    finally:
        os.close(fd)


def no_holes(fd: int, length: int) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_a_short_log_is_left_alone(directory: Path) -> None:
    path = directory / "log"
    write(path, b"x" * KEEP)
    log_file.limit_size(path, KEEP)
    assert path.read_bytes() == b"x" * KEEP


def test_tail(directory: Path) -> None:
    path = directory / "log"
    write(path, b"")
    assert log_file.tail(path, 10) == (0, b"")
    write(path, b"0123456789")
    assert log_file.tail(path, 4) == (6, b"6789")
    assert log_file.tail(path, 100) == (0, b"0123456789")
    assert log_file.tail(path, 0) == (10, b"")
    os.truncate(path, 1 << 20)
    assert log_file.tail(path, 4096) == (1 << 20, b"")


def test_tail_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "log").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic link"):
        log_file.tail(tmp_path / "log", 10)


def test_a_log_is_new_and_private(tmp_path: Path) -> None:
    fd = log_file.create(tmp_path / "log")
    os.close(fd)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        log_file.create(tmp_path / "log")


@given(st.floats(MIN_DELAY, 60), st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_the_next_look_is_within_bounds(elapsed: float, growth: int, keep: int) -> None:
    assert MIN_DELAY <= next_delay(elapsed, growth, keep) <= MAX_DELAY


def test_the_next_look_follows_the_growth() -> None:
    assert next_delay(1, 1, KEEP) == MAX_DELAY
    assert next_delay(0.1, 1, KEEP) == 0.2
    assert next_delay(0.2, KEEP // 2, KEEP) == 0.1
    assert next_delay(0.25, 100 * KEEP, KEEP) == MIN_DELAY


@pytest.fixture
def watches() -> Iterator[InotifyWatcher]:
    """The kernel's watches."""
    made = InotifyWatcher()
    yield made
    made.close()


def ready(watches: InotifyWatcher) -> bool:
    """Whether a selector would say so now."""
    return bool(select.select([watches.descriptor], [], [], 0)[0])


def test_a_quiet_log_costs_nothing_and_is_heard_at_once(tmp_path: Path, watches: InotifyWatcher) -> None:
    swept = LogLimiter(lambda session: tmp_path / session, KEEP, watches, clock=lambda: 100.0)
    assert swept.due() is None
    write(tmp_path / "s", b"")
    swept.add("s", now=5.0)
    assert swept.due() is None
    assert not ready(watches)
    write(tmp_path / "s", b"x" * 10 * KEEP)
    assert ready(watches)
    swept.on_inotify_events(0)
    assert swept.due() == 100.0 + MIN_DELAY
    swept.tick(100.0 + MIN_DELAY)
    assert used(tmp_path / "s") <= KEEP + 4096
    # It grew: looked at again, until a look finds nothing new.
    due = swept.due()
    assert due is not None
    swept.tick(due)
    assert swept.due() is None
    write(tmp_path / "s", b"x" * 10 * KEEP)
    assert ready(watches)
    swept.discard("s")
    assert used(tmp_path / "s") <= KEEP + 4096
    swept.on_inotify_events(0)
    assert swept.due() is None


def test_what_is_there_already_is_bounded_too(tmp_path: Path, watches: InotifyWatcher) -> None:
    write(tmp_path / "s", b"x" * 10 * KEEP)
    swept = LogLimiter(lambda session: tmp_path / session, KEEP, watches)
    swept.add("s", now=5.0)
    assert swept.due() == 5.0 + MIN_DELAY
    swept.tick(5.0 + MIN_DELAY)
    assert used(tmp_path / "s") <= KEEP + 4096


def test_only_what_grows_is_looked_at(tmp_path: Path, watches: InotifyWatcher) -> None:
    swept = LogLimiter(lambda session: tmp_path / session, KEEP, watches, clock=lambda: 0.0)
    for name in ("quiet", "loud", "missing"):
        if name != "missing":
            write(tmp_path / name, b"")
        swept.add(name, now=0.0)
    write(tmp_path / "loud", b"x")
    swept.on_inotify_events(0)
    now = 0.0
    for _ in range(20):
        write(tmp_path / "loud", b"x")
        now = swept.due() or 0.0
        swept.tick(now)
    assert swept.due() == pytest.approx(now + MAX_DELAY)


@pytest.mark.parametrize("how", ["no watch", "no inotify"])
def test_without_watches_it_looks_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    def refuse(result: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    made = InotifyWatcher()
    try:
        monkeypatch.setattr(inotify, "_checked", refuse)
        swept = LogLimiter(lambda session: tmp_path / session, KEEP, made if how == "no watch" else InotifyWatcher())
        for name in ("a", "b"):
            write(tmp_path / name, b"")
            swept.add(name, now=5.0)
        assert swept.due() == 5.0 + UNWATCHED_DELAY
        write(tmp_path / "b", b"x" * 10 * KEEP)
        swept.tick(5.0 + UNWATCHED_DELAY)
        assert used(tmp_path / "b") <= KEEP + 4096
        assert caplog.text.count("cannot look after") == 1
    finally:
        made.close()


def test_reading_on_from_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    assert log_file.read(path, 3, 4) == (3, 10, b"3456")
    assert log_file.read(path, 8, 100) == (8, 10, b"89")
    assert log_file.read(path, 10, 100) == (10, 10, b"")
    assert log_file.read(path, 99, 100) == (99, 10, b"")
    with pytest.raises(FileNotFoundError):
        log_file.read(tmp_path / "none", 0, 1)


def test_what_was_freed_is_not_read_as_zeros(tmp_path: Path) -> None:
    path = tmp_path / "log"
    block = path.parent.stat().st_blksize
    path.write_bytes(b"x" * (3 * block + 5))
    log_file.limit_size(path, block + 5)
    assert log_file.read(path, 10, 7) == (2 * block, 3 * block + 5, b"x" * 7)


@given(st.lists(st.sampled_from([b"", b"a", b"bb" * 9, b"c" * 70_000]), max_size=6), st.booleans(), st.integers(0, 8))
def test_where_the_newest_lines_begin(lines: list[bytes], ended: bool, count: int) -> None:
    written = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(written)
        begin = log_file.line_start(path, count, lambda: None)
    kept = written.splitlines(keepends=True)[-count:] if count else []
    assert written[begin:] == b"".join(kept)


def test_lines_that_were_freed_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "log"
    block = path.parent.stat().st_blksize
    path.write_bytes(b"\n" * (40 * block))
    log_file.limit_size(path, block)
    assert log_file.line_start(path, 100 * block, lambda: None) == 39 * block
    assert log_file.line_start(path, 3, lambda: None) == 40 * block - 3
