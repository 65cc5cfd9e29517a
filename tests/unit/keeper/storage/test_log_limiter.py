"""When logs are looked at to bound them: soon after they grew, and not at all while they are quiet."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.keeper.storage.log_limiter import MAX_DELAY, MIN_DELAY, UNWATCHED_DELAY, LogLimiter, next_delay
from pycloud.keeper.system import inotify
from pycloud.keeper.system.inotify import InotifyWatcher
from tests.support.files import append, bytes_on_disk

KEEP = 64 * 1024


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
    assert watches.descriptor is not None
    return bool(select.select([watches.descriptor], [], [], 0)[0])


def test_a_quiet_log_costs_nothing_and_is_heard_at_once(tmp_path: Path, watches: InotifyWatcher) -> None:
    limiter = LogLimiter(lambda session: str(tmp_path / session), KEEP, watches, clock=lambda: 100.0)
    assert limiter.due() is None
    append(tmp_path / "s", b"")
    limiter.add("s", now=5.0)
    assert limiter.due() is None
    assert not ready(watches)
    append(tmp_path / "s", b"x" * 10 * KEEP)
    assert ready(watches)
    limiter.on_inotify_events(0)
    assert limiter.due() == 100.0 + MIN_DELAY
    limiter.tick(100.0 + MIN_DELAY)
    assert bytes_on_disk(tmp_path / "s") <= KEEP + 4096
    # It grew: looked at again, until a look finds nothing new.
    due = limiter.due()
    assert due is not None
    limiter.tick(due)
    assert limiter.due() is None
    append(tmp_path / "s", b"x" * 10 * KEEP)
    assert ready(watches)
    limiter.discard("s")
    assert bytes_on_disk(tmp_path / "s") <= KEEP + 4096
    limiter.on_inotify_events(0)
    assert limiter.due() is None


def test_what_is_there_already_is_bounded_too(tmp_path: Path, watches: InotifyWatcher) -> None:
    append(tmp_path / "s", b"x" * 10 * KEEP)
    limiter = LogLimiter(lambda session: str(tmp_path / session), KEEP, watches)
    limiter.add("s", now=5.0)
    assert limiter.due() == 5.0 + MIN_DELAY
    limiter.tick(5.0 + MIN_DELAY)
    assert bytes_on_disk(tmp_path / "s") <= KEEP + 4096


def test_only_what_grows_is_looked_at(tmp_path: Path, watches: InotifyWatcher) -> None:
    limiter = LogLimiter(lambda session: str(tmp_path / session), KEEP, watches, clock=lambda: 0.0)
    for name in ("quiet", "loud", "missing"):
        if name != "missing":
            append(tmp_path / name, b"")
        limiter.add(name, now=0.0)
    append(tmp_path / "loud", b"x")
    limiter.on_inotify_events(0)
    now = 0.0
    for _ in range(20):
        append(tmp_path / "loud", b"x")
        now = limiter.due() or 0.0
        limiter.tick(now)
    assert limiter.due() == pytest.approx(now + MAX_DELAY)


@pytest.mark.parametrize("how", ["no watch", "no inotify"])
def test_without_watches_it_looks_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    def refuse(result: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    made = InotifyWatcher()
    try:
        monkeypatch.setattr(inotify, "_checked", refuse)
        limiter = LogLimiter(
            lambda session: str(tmp_path / session), KEEP, made if how == "no watch" else InotifyWatcher()
        )
        for name in ("a", "b"):
            append(tmp_path / name, b"")
            limiter.add(name, now=5.0)
        assert limiter.due() == 5.0 + UNWATCHED_DELAY
        append(tmp_path / "b", b"x" * 10 * KEEP)
        limiter.tick(5.0 + UNWATCHED_DELAY)
        assert bytes_on_disk(tmp_path / "b") <= KEEP + 4096
        assert caplog.text.count("cannot watch or limit") == 1
    finally:
        made.close()
