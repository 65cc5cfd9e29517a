"""The real daemon in a test: started, killed, frozen, and looked at from outside (its log, the processes it made)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.support.settled_processes import settled
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "bin" / "pycloud"


def sessions_of(cloud: str) -> dict[str, list[int]]:
    """The living processes of a cloud's sessions, by session: what the machine says, not our own records."""
    return settled(lambda: _scan(cloud))


def _scan(cloud: str) -> tuple[dict[str, list[int]], list[int]]:
    found: dict[str, list[int]] = {}
    nameless = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if not environment:
                nameless.append(process.pid)
            if environment.get("PYCLOUD_CLOUD") == cloud and process.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(environment["PYCLOUD_SESSION"], []).append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found, nameless


class Daemon:
    """One ``bin/pycloud`` in the foreground, on a data directory of its own.

    ``options`` are settings by name (``stop_grace=1``); what is not given has its default. Ends everything that it
    started when the block is left: the daemon, its keeper, its sessions.
    """

    def __init__(self, home: Path, redis_url: str, env: Mapping[str, str] | None = None, **options: object) -> None:
        self.home, self.data = home, home / "data"
        self.env = {**os.environ, **(env or {})}
        self.options = {"redis": redis_url, "data_dir": self.data, "hostname": "host.test", **options}
        self.log_path = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Daemon:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.end()

    @property
    def command(self) -> list[str]:
        """Its command line."""
        flags: list[str] = []
        for name, value in self.options.items():
            flag = "--" + name.replace("_", "-")
            flags += [flag] if value is True else [flag, str(value)]
        return [sys.executable, str(PROGRAM), *flags]

    @property
    def cloud(self) -> str:
        """The cloud's id."""
        return (self.data / "cloud-id").read_text().strip()

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def keeper_pid(self) -> int:
        """The keeper's process id, as it wrote it down; 0 while there is none."""
        written = self.data / "keeper.lock"
        text = written.read_text() if written.exists() else ""
        return int(json.loads(text)["pid"]) if text else 0

    def log(self) -> str:
        """What it has logged in all its runs so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def launch(self) -> Daemon:
        """Start it, and do not wait."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            env = {**self.env, "PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(self.command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def start(self) -> Daemon:
        """Start it and wait until it is ready."""
        ready = self.log().count(" ready: ")
        self.launch()
        wait_until(lambda: self.log().count(" ready: ") > ready or not self.running, 30, self.log)
        assert self.running, self.log()
        return self

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal to the daemon (not to its keeper)."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def kill_keeper(self) -> None:
        """kill -9 of the keeper."""
        _kill(self.keeper_pid)

    def sessions(self) -> dict[str, list[int]]:
        """The living processes of its sessions, by session."""
        return sessions_of(self.cloud)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.running:
            self.send(signal.SIGCONT)
            self.kill()
        if not (self.data / "cloud-id").exists():
            return
        if self.keeper_pid:
            _kill(self.keeper_pid)
        for pids in self.sessions().values():
            for pid in pids:
                _kill(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
