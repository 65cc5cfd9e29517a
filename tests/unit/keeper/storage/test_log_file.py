"""Bounded logs: old blocks go, offsets stay, and no hole is ever read as text."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.keeper.storage import log_file
from tests.support.files import append, bytes_on_disk
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


@pytest.mark.parametrize("holes", [True, False])
def test_old_blocks_are_freed_and_offsets_stay(directory: Path, monkeypatch: pytest.MonkeyPatch, holes: bool) -> None:
    if not holes:
        monkeypatch.setattr(log_file, "punch_hole", no_holes)
    path = directory / "log"
    everything = lines(0, 100_000)
    written = 0
    fd = log_file.create(str(path))
    try:
        for part in range(10):
            written += os.write(fd, everything[part * 160_000 : (part + 1) * 160_000])
            log_file.limit_size(str(path), KEEP)
            assert path.stat().st_size == written
            assert KEEP <= bytes_on_disk(path) <= KEEP + 2 * 4096
            offset, data = log_file.tail(path, 10 * KEEP)
            assert len(data) >= KEEP
            assert data == everything[offset:written]
    finally:
        os.close(fd)


def no_holes(fd: int, length: int) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_a_short_log_is_left_alone(directory: Path) -> None:
    path = directory / "log"
    append(path, b"x" * KEEP)
    log_file.limit_size(str(path), KEEP)
    assert path.read_bytes() == b"x" * KEEP


def test_tail(directory: Path) -> None:
    path = directory / "log"
    append(path, b"")
    assert log_file.tail(path, 10) == (0, b"")
    append(path, b"0123456789")
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
    fd = log_file.create(str(tmp_path / "log"))
    os.close(fd)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        log_file.create(str(tmp_path / "log"))


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
    log_file.limit_size(str(path), block + 5)
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
    log_file.limit_size(str(path), block)
    assert log_file.line_start(path, 100 * block, lambda: None) == 39 * block
    assert log_file.line_start(path, 3, lambda: None) == 40 * block - 3
