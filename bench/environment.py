"""What rows are measured on: a Redis, nodes and limits, and a file system for their files. All of it ends with the run.

The file system is ext4 with a journal, as on most hosts. Without a journal ext4 scans, for each new inode, all inodes
freed within the last minutes. A bench makes and removes thousands of files a second, so that earlier measurements would
be most of the cost of the next one.
"""

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

from bench.limits import RESPONDER_NAMESPACE, TRIAL_NAMESPACE, BareProcess
from bench.load import LoadGenerator, LoadResult, RawConnection, create_request, session_request
from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

DISK_SIZE = 4 << 30  # bytes, sparse: only written blocks take room
#: All structures are made at once: no work of the kernel in the background may run during a measurement.
MKFS_OPTIONS = "lazy_itable_init=0,lazy_journal_init=0"
#: As most servers run it: the persistence of Redis is not measured.
REDIS_OPTIONS = ("--appendonly", "no")
#: How many requests are outstanding while sessions are made for a measurement, or removed after it.
SETUP_OUTSTANDING = 64


@contextmanager
def own_filesystem() -> Iterator[Path | None]:
    """Mount a new file system; its mount point, or None where it cannot be made, with a message on standard error."""
    with tempfile.TemporaryDirectory(prefix="pycloud-bench-disk-") as folder:
        image, mount_point = Path(folder, "image"), Path(folder, "mounted")
        mount_point.mkdir()
        image.touch()
        os.truncate(image, DISK_SIZE)
        make = ["mkfs.ext4", "-q", "-F", "-E", MKFS_OPTIONS, str(image)]
        if not (_succeeds(*make) and _succeeds("mount", "-o", "loop", str(image), str(mount_point))):
            print(f"no file system of our own; what is measured lies in {tempfile.gettempdir()}", file=sys.stderr)
            yield None
            return
        try:
            yield mount_point
        finally:
            subprocess.run(["umount", "--lazy", str(mount_point)], check=True)


def filesystem_type(path: Path) -> str:
    """The type of the file system that holds ``path``, e.g. ``ext4``."""
    command = ["df", "--output=fstype", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def _succeeds(*command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return False
    if done.returncode:
        print(done.stderr.strip(), file=sys.stderr)
    return done.returncode == 0


class Environment:
    """One Redis with a load generator; starts nodes and limits on it.

    ``quick``: fewer rounds and smaller counts, to check that the bench works. ``root``: directory of all files; None:
    the directory of temporary files.
    """

    def __init__(self, *, quick: bool = False, root: Path | None = None) -> None:
        self.quick, self.root = quick, root
        self._stack = ExitStack()
        self._numbers = iter(range(1_000_000))

    def __enter__(self) -> Self:
        folder = tempfile.TemporaryDirectory(prefix="pycloud-bench-", dir=self.root)
        self.home = Path(self._stack.enter_context(folder))
        self.redis = self._stack.enter_context(RedisServer(options=REDIS_OPTIONS))
        self.load = self._stack.enter_context(LoadGenerator(self.redis.port))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def scale_rounds(self, rounds: int) -> int:
        """How many rounds to run: ``rounds``, or fewer where ``quick``."""
        return max(2, rounds // 5) if self.quick else rounds

    def scale_count(self, count: int) -> int:
        """How many repetitions, requests or sessions a round has: ``count``, or fewer where ``quick``."""
        return max(10, count // 10) if self.quick else count

    def new_folder(self) -> Path:
        """An empty directory, on the same file system as the data of the nodes."""
        made = self.home / f"bare{next(self._numbers)}"
        made.mkdir()
        return made

    def new_daemon(self, **options: Any) -> Daemon:
        """A node with a data directory of its own, not started. The caller starts and ends it."""
        return Daemon(self.home / f"node{next(self._numbers)}", self.redis.url, **options)

    @contextmanager
    def node(self, **options: Any) -> Iterator[Daemon]:
        """A running node."""
        daemon = self.new_daemon(**options)
        try:
            yield daemon.start()
        finally:
            daemon.end()

    def create_sessions(self, count: int) -> list[str]:
        """Create sessions for a measurement; their ids."""
        requests = [create_request()] * count
        return [response["id"] for response in self.load.run("create", requests, SETUP_OUTSTANDING).decoded()]

    def remove_sessions(self, sessions: list[str]) -> None:
        """Remove sessions by id."""
        self.load.run("remove", map(session_request, sessions), SETUP_OUTSTANDING)

    @contextmanager
    def responder(self) -> Iterator[LoadGenerator]:
        """Run the smallest responder; a load generator for it."""
        with self._limit("responder"), LoadGenerator(self.redis.port, RESPONDER_NAMESPACE) as load:
            wait_until(lambda: self._is_subscribed(f"{RESPONDER_NAMESPACE}.status"), 30)
            yield load

    @contextmanager
    def smallest_node(self) -> Iterator[SmallestNode]:
        """Run the smallest node."""
        folder = self.new_folder()
        with (
            self._limit("smallest-node", str(folder)),
            LoadGenerator(self.redis.port, TRIAL_NAMESPACE) as load,
        ):
            wait_until(lambda: self._is_subscribed(f"{TRIAL_NAMESPACE}.create"), 30)
            yield SmallestNode(load, folder)

    @contextmanager
    def bare_loop(self) -> Iterator[BareLoop]:
        """A loop of bare processes."""
        loop = BareLoop(self.new_folder())
        try:
            yield loop
        finally:
            loop.terminate()

    @contextmanager
    def _limit(self, program: str, *arguments: str) -> Iterator[None]:
        """Run a program of ``bench.limits``; ``arguments`` follow the URL of the Redis."""
        command = [sys.executable, "-m", "bench.limits", program, self.redis.url, *arguments]
        process = subprocess.Popen(command)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _is_subscribed(self, channel: str) -> bool:
        with RawConnection(self.redis.port) as connection:
            return bool(connection.execute(("PUBSUB", "NUMSUB", channel))[0][1])


class SmallestNode:
    """Sends creates to the smallest node, and ends its processes after each load."""

    def __init__(self, load: LoadGenerator, folder: Path) -> None:
        self._load, self._folder = load, folder

    def create(self, count: int, outstanding: int) -> LoadResult:
        """Send ``count`` creates, ``outstanding`` of them at a time."""
        result = self._load.run("create", [create_request()] * count, outstanding)
        for response in result.decoded():
            os.killpg(response["pid"], signal.SIGKILL)
            shutil.rmtree(self._folder / response["id"])
        return result


class BareLoop:
    """Starts and ends bare processes one after the other, in one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.processes: list[BareProcess] = []

    def start(self, count: int = 1) -> None:
        """Start ``count`` more processes."""
        self.processes.extend(BareProcess(self._root) for _ in range(count))

    def terminate(self) -> None:
        """End all processes, the oldest first."""
        while self.processes:
            self.processes.pop(0).terminate()
