"""Many real clouds with data directories of their own on one real Redis, each behind a proxy that can be cut.

May touch: processes that it started, and what lies below its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import redis

from tests.chaos.proxy import Proxy
from tests.support.daemon import Daemon
from tests.support.engine import Engine
from tests.support.redis_server import RedisServer
from tests.support.requester import PREFIX
from tests.support.skewed_clock import SkewedDaemon
from tests.support.waiting import wait_until

FAULT = "PYCLOUD_FAULT"
READY = " ready: "


class Member:
    """One cloud of a swarm. ``meant_to_run``: whether it is up unless something went wrong.

    ``launches``: when its daemons were started (monotonic seconds).
    """

    def __init__(
        self, home: Path, server: RedisServer, *, proxied: bool, clock: int = 0, engine: Engine | None = None
    ) -> None:
        self.proxy = Proxy(server.port) if proxied else None
        url = self.proxy.url if self.proxy else server.url
        options: dict[str, object] = {"stop_grace": 2}
        if engine:
            options |= {"runtime": "script,docker", "docker_host": engine.host}
        self.daemon = SkewedDaemon(home, url, clock, **options) if clock else Daemon(home, url, **options)  # type: ignore[arg-type]
        self.meant_to_run = False
        self.keepers_killed = 0
        self.launches: list[float] = []
        self._ready = 0

    @property
    def cloud(self) -> str:
        """The cloud's id."""
        return self.daemon.cloud

    @property
    def ready(self) -> bool:
        """Whether the daemon of the last launch takes requests."""
        return self.daemon.running and self.daemon.log().count(READY) > self._ready

    @property
    def died_by_itself(self) -> bool:
        """Whether it is gone though nobody ended it."""
        return self.meant_to_run and not self.daemon.running

    def launch(self, fault: str = "") -> None:
        """Start it without waiting; with ``fault`` it dies at that named point."""
        self.daemon.env.pop(FAULT, None)
        if fault:
            self.daemon.env[FAULT] = fault
        self._ready = self.daemon.log().count(READY)
        self.launches.append(monotonic())
        self.daemon.launch()
        self.meant_to_run = not fault

    def kill(self) -> None:
        """kill -9; it may be dead already."""
        self.meant_to_run = False
        self.daemon.kill()

    def stop(self) -> None:
        """SIGTERM, without waiting for the end."""
        self.meant_to_run = False
        self.daemon.send(signal.SIGTERM)

    def await_stop(self, timeout: float) -> int | None:
        """Its exit code once it has ended; None where it does not within ``timeout`` seconds."""
        assert self.daemon.process is not None
        with suppress(subprocess.TimeoutExpired):
            return self.daemon.process.wait(timeout)
        return None

    def await_end(self, patience: float, timeout: float = 60.0) -> None:
        """Wait until it has ended, but not for longer than ``patience`` seconds after it was ready."""
        with suppress(AssertionError):
            wait_until(lambda: self.ready or not self.daemon.running, timeout)
        self.await_stop(patience)

    def strike(self) -> None:
        """kill -9 without waiting for the end, so that several can be killed in one instant."""
        self.meant_to_run = False
        self.daemon.send(signal.SIGKILL)

    def kill_keeper(self) -> bool:
        """kill -9 of its keeper; False where none runs just now."""
        pid = self.daemon.keeper_pid
        if not pid or not _is_keeper(pid, self.daemon.data):
            return False
        self.keepers_killed += 1
        os.kill(pid, signal.SIGKILL)
        return True

    def close(self) -> None:
        """Leave nothing behind."""
        self.daemon.end()
        if self.proxy:
            self.proxy.close()


def _is_keeper(pid: int, data: Path) -> bool:
    """A pid that is written down may be another process by now."""
    try:
        return str(data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


class Swarm:
    """``count`` clouds, all ready when the block begins, all ended with their sessions when it is left.

    ``clocks``: seconds by which the clock of a cloud is off, by its number. ``engine`` runs containers for them.
    """

    def __init__(
        self,
        server: RedisServer,
        count: int,
        *,
        proxied: bool = True,
        clocks: Mapping[int, int] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.server, self.engine = server, engine
        self._folder = Path(tempfile.mkdtemp(prefix="pycloud-swarm-"))
        offs = clocks or {}
        self.members = [
            Member(self._folder / f"cloud{number}", server, proxied=proxied, clock=offs.get(number, 0), engine=engine)
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                member.launch()
            self.await_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything, delete everything."""
        for member in self.members:
            member.close()
        if self.engine:
            self.engine.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def await_ready(self, timeout: float = 60.0) -> None:
        """Wait until every cloud that is meant to run takes requests."""
        for number, member in enumerate(self.members):
            wait_until(
                lambda member=member: member.ready or not member.meant_to_run or member.died_by_itself,  # type: ignore[misc]
                timeout,
                lambda number=number, member=member: f"node {number} is not ready: {member.daemon.log()[-2000:]}",  # type: ignore[misc]
            )

    def await_beats(self, count: int = 2, timeout: float = 60.0) -> None:
        """Wait until every cloud has said so many times that it lives and hears, so that all know of all."""
        seen: list[set[bytes]] = [set() for _ in self.members]

        def beaten() -> bool:
            for beats, rank in zip(seen, self._ranks(), strict=True):
                if rank and not json.loads(rank)["deaf"]:
                    beats.add(rank)
            return all(len(beats) > count for beats in seen)

        wait_until(beaten, timeout, lambda: f"heartbeats: {[len(beats) for beats in seen]}")

    def best(self) -> list[int]:
        """The numbers of the clouds, best rank first, as Redis knows them; those it does not know come last."""
        scores = [json.loads(rank)["score"] if rank else float("inf") for rank in self._ranks()]
        return sorted(range(len(self.members)), key=lambda number: scores[number])

    def _ranks(self) -> list[bytes | None]:
        """The last rank of each cloud that Redis has."""
        with redis.Redis.from_url(self.server.url, protocol=2, socket_timeout=2) as client:
            return list(client.mget([f"{{{PREFIX}}}:cloud:{member.cloud}" for member in self.members]))
