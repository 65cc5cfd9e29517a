"""Locks that a process holds as long as it lives, and what a lock file tells of its holder."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from pycloud.keeper.system import file_lock
from pycloud.keeper.system.file_lock import NAME, LockedError


@contextmanager
def held(path: Path) -> Iterator[int]:
    """A lock of this file that is held meanwhile."""
    fd = file_lock.open_locked(path, 0.0)
    assert fd is not None
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "keeper.sock"


def test_a_data_directory_has_one_keeper_and_the_error_of_another_names_it(tmp_path: Path, socket: Path) -> None:
    fd = file_lock.acquire(tmp_path)
    with pytest.raises(LockedError, match="its pid is not known yet"):
        file_lock.acquire(tmp_path, 0.0)
    file_lock.announce(fd, socket, 1)
    with pytest.raises(LockedError, match=f'another keeper holds {tmp_path}: .*"pid": {os.getpid()}'):
        file_lock.acquire(tmp_path, 0.0)
    file_lock.release(fd)
    file_lock.release(file_lock.acquire(tmp_path, 0.0))


def test_the_holder_is_known_by_its_announcement_until_it_releases_the_lock(tmp_path: Path, socket: Path) -> None:
    fd = file_lock.acquire(tmp_path)
    assert file_lock.is_held(tmp_path)
    assert file_lock.holder(tmp_path) is None, "it has announced nothing yet"
    for version in (100, 1):
        file_lock.announce(fd, socket, version)
    assert file_lock.holder(tmp_path) == {"pid": os.getpid(), "socket": str(socket), "version": 1}
    file_lock.release(fd)
    assert not file_lock.is_held(tmp_path)
    assert file_lock.holder(tmp_path) is None
    assert (tmp_path / NAME).read_text() == "", "it names nobody"


def test_a_file_that_is_not_locked_names_no_holder(tmp_path: Path) -> None:
    """It was left by a killed keeper, or copied with the data directory."""
    (tmp_path / NAME).write_text(json.dumps({"pid": os.getpid(), "socket": "/s", "version": 1}))
    assert file_lock.holder(tmp_path) is None


def test_a_pid_that_does_not_have_the_file_open_is_left_out(tmp_path: Path) -> None:
    """It may be a number of another pid namespace, and here that of an unrelated process."""
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        with held(tmp_path / NAME) as fd:
            file_lock.write(fd, json.dumps({"pid": stranger.pid, "socket": "/s", "version": 1}))
            assert file_lock.holder(tmp_path) == {"socket": "/s", "version": 1}
    finally:
        stranger.kill()
        stranger.wait()
    assert not file_lock.has_open(stranger.pid, tmp_path / NAME), "nor does a process that is gone"


@pytest.mark.parametrize("content", ["", "nonsense", "[1]", '"text"', '{"pid": "1"}'])
def test_a_lock_with_a_useless_announcement_is_held_all_the_same(tmp_path: Path, content: str) -> None:
    with held(tmp_path / NAME) as fd:
        os.write(fd, content.encode())
        assert file_lock.is_held(tmp_path)
        assert not file_lock.holder(tmp_path)


def test_an_inherited_lock_is_held_as_long_as_the_process_that_inherited_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path) as fd:
        heir = subprocess.Popen(["sleep", "60"], pass_fds=(fd,))
    try:
        assert file_lock.is_locked(path)
        assert file_lock.open_locked(path, 0.0) is None
    finally:
        heir.kill()
        heir.wait()
    assert not file_lock.is_locked(path)


def test_a_lock_is_not_inherited_unless_it_is_passed_on(tmp_path: Path) -> None:
    """Otherwise the processes that the keeper starts would hold its data directory."""
    with held(tmp_path / "lock"):
        heir = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert not file_lock.is_locked(tmp_path / "lock")
    finally:
        heir.kill()
        heir.wait()


def test_checking_a_lock_does_not_take_it_and_creates_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not file_lock.is_locked(path)
    assert not file_lock.is_locked(path / "below a file that is not there")
    assert not path.exists()
    path.touch()
    assert not file_lock.is_locked(path / "below a file")
    assert not file_lock.is_locked(path)
    with held(path):
        assert file_lock.is_locked(path)
        assert file_lock.is_locked(path)
        assert file_lock.open_locked(path, 0.0) is None


def test_only_the_owner_can_open_a_lock_file_also_one_that_existed_before(tmp_path: Path) -> None:
    """A user who can open it can lock it, and so prevent a keeper from starting."""
    path = tmp_path / "lock"
    path.touch(mode=0o666)
    path.chmod(0o666)
    with held(path), held(tmp_path / "new"):
        assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}


def test_the_lock_of_a_keeper_that_is_about_to_end_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, predecessor = 1000.0, [file_lock.acquire(tmp_path)]
    ends_at = now + 4.9

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if now >= ends_at:
            file_lock.release(predecessor.pop())

    monkeypatch.setattr(file_lock, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    file_lock.release(file_lock.acquire(tmp_path))
    assert now >= ends_at


def test_an_attempt_that_fails_leaves_no_descriptor_open(tmp_path: Path) -> None:
    with held(tmp_path / NAME):
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(LockedError):
            file_lock.acquire(tmp_path, 0.0)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
