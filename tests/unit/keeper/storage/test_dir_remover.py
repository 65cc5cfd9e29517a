"""Directories removed at once or in a thread, and what is said of one that stays."""

from __future__ import annotations

import threading
from pathlib import Path

from pycloud.keeper.storage.dir_remover import DirRemover
from tests.support.waiting import wait_until


def collected(remover: DirRemover) -> bool:
    """True, after what the thread has done was taken note of."""
    remover.collect()
    return True


def test_small_things_go_at_once_and_big_ones_in_a_thread(tmp_path: Path) -> None:
    woken = threading.Event()
    remover = DirRemover(woken.set)
    done: list[tuple[str, OSError | None]] = []
    small, big = tmp_path / "small", tmp_path / "big"
    small.mkdir()
    (small / "file").touch()
    remover.remove([str(small), str(tmp_path / "no log")], lambda error: done.append(("small", error)))
    assert done == [("small", None)]
    (big / "sub").mkdir(parents=True)
    remover.remove([str(big)], lambda error: done.append(("big", error)))
    assert len(done) == 1
    assert woken.wait(10)
    wait_until(lambda: collected(remover) and len(done) == 2)
    assert done[1] == ("big", None)
    assert not big.exists()
    assert not small.exists()


def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    said: list[OSError | None] = []
    remover = DirRemover(lambda: None)
    remover.remove(["/proc/version"], said.append)
    wait_until(lambda: collected(remover) and said)
    assert isinstance(said[0], OSError)
