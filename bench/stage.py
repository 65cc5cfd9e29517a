"""What the rows are measured on: a Redis, clouds and limits of their own, all of which end with the run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from bench.bare import Bare
from bench.line import Line
from bench.load import Load, Run, about, create
from bench.responder import NAMESPACE as RESPONDER
from bench.trial import NAMESPACE as TRIAL
from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

#: As most servers run it: nothing of it is what is measured here.
REDIS_OPTIONS = ("--appendonly", "no")
#: How many requests are on their way while sessions are made that others are measured with.
FILLING = 64


class Stage:
    """One Redis, and what is asked for on it.

    ``quick``: fewer rounds, to see whether it works. ``place``: where all files lie; None: where temporary ones do.
    """

    def __init__(self, *, quick: bool = False, place: Path | None = None) -> None:
        self.quick, self.place = quick, place
        self._stack = ExitStack()
        self._numbers = iter(range(1_000_000))

    def __enter__(self) -> Self:
        folder = tempfile.TemporaryDirectory(prefix="pycloud-bench-", dir=self.place)
        self.home = Path(self._stack.enter_context(folder))
        self.redis = self._stack.enter_context(RedisServer(options=REDIS_OPTIONS))
        self.load = self._stack.enter_context(Load(self.redis.port))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def rounds(self, many: int) -> int:
        """How often something is measured, in turns with its limit."""
        return max(2, many // 5) if self.quick else many

    def amount(self, many: int) -> int:
        """How much of it in each round."""
        return max(10, many // 10) if self.quick else many

    def folder(self) -> Path:
        """An empty directory, on the same disk as the clouds'."""
        made = self.home / f"bare{next(self._numbers)}"
        made.mkdir()
        return made

    def daemon(self, **options: Any) -> Daemon:
        """A cloud with a data directory of its own; not started, and ended by whoever starts it."""
        return Daemon(self.home / f"cloud{next(self._numbers)}", self.redis.url, **options)

    @contextmanager
    def cloud(self, **options: Any) -> Iterator[Daemon]:
        """A cloud that runs."""
        daemon = self.daemon(**options)
        try:
            yield daemon.start()
        finally:
            daemon.end()

    def fill(self, count: int) -> list[str]:
        """Sessions, made for others to be measured; their ids."""
        return [answer["id"] for answer in self.load.run("create", [create()] * count, FILLING).decoded()]

    def clear(self, sessions: list[str]) -> None:
        """Remove sessions."""
        self.load.run("remove", map(about, sessions), FILLING)

    @contextmanager
    def responder(self) -> Iterator[Load]:
        """The smallest responder, and a load for it."""
        with self._program("bench.responder"), Load(self.redis.port, RESPONDER) as load:
            wait_until(lambda: self._listens(f"{RESPONDER}.status"), 30)
            yield load

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """The smallest cloud, and what to do with it."""
        folder = self.folder()
        with self._program("bench.trial", str(folder)), Load(self.redis.port, TRIAL) as load:
            wait_until(lambda: self._listens(f"{TRIAL}.create"), 30)
            yield Trial(load, folder)

    @contextmanager
    def bare(self) -> Iterator[BareLoop]:
        """A loop of bare processes."""
        loop = BareLoop(self.folder())
        try:
            yield loop
        finally:
            loop.end()

    @contextmanager
    def _program(self, module: str, *words: str) -> Iterator[None]:
        process = subprocess.Popen([sys.executable, "-m", module, self.redis.url, *words])
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _listens(self, channel: str) -> bool:
        with Line(self.redis.port) as line:
            return bool(line.ask(("PUBSUB", "NUMSUB", channel))[0][1])


class Trial:
    """What the smallest cloud does for a load; its processes are ended after each time."""

    def __init__(self, load: Load, folder: Path) -> None:
        self._load, self._folder = load, folder

    def create(self, count: int, outstanding: int) -> Run:
        """So many creates."""
        run = self._load.run("create", [create()] * count, outstanding)
        for answer in run.decoded():
            os.killpg(answer["pid"], signal.SIGKILL)
            shutil.rmtree(self._folder / answer["id"])
        return run


class BareLoop:
    """Bare processes, one after the other, in one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.living: list[Bare] = []

    def start(self, count: int = 1) -> None:
        """So many more."""
        self.living.extend(Bare(self._root) for _ in range(count))

    def end(self) -> None:
        """End them all."""
        while self.living:
            self.living.pop(0).end()
