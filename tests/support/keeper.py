"""A real keeper process for tests, and a blocking client that is as small as can be.

::

    with keeper(tmp_path) as k:
        with k.client() as client:
            client.start("exit 3")
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pycloud.keeper.ipc import protocol
from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process
from tests.support.settled_processes import settled
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
CLOUD = "c0ffee0000"
Message = dict[str, Any]


class KeeperRefusal(Exception):
    """The keeper answered with an error."""

    def __init__(self, code: str, message: str, passing: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.passing = passing


def new_session() -> str:
    """An id that nobody else has."""
    return os.urandom(5).hex() + CLOUD


class Client:
    """One connection. ``events`` holds what came while an answer was waited for."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self.events: list[Message] = []
        self._socket = protocol.connect(path, timeout)
        self._lines = protocol.LineSplitter(max_size=None)
        self._received: list[Message] = []
        self._answers: dict[int, Message] = {}
        self._seq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send(self, op: str, **fields: Any) -> int:
        """Send a request; its number, for ``answer``."""
        self._seq += 1
        self.send_raw(protocol.encode({"op": op, "seq": self._seq, **fields}))
        return self._seq

    def answer(self, seq: int) -> Message:
        """The answer to request ``seq``. Raises KeeperRefusal, TimeoutError, ConnectionError."""
        while seq not in self._answers:
            self._sort(self.read())
        answer = self._answers.pop(seq)
        if "error" in answer:
            raise KeeperRefusal(**answer["error"])
        return answer

    def call(self, op: str, **fields: Any) -> Message:
        return self.answer(self.send(op, **fields))

    def event(self, session: str, timeout: float = 30.0) -> Message:
        """The event that ``session`` has ended."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event["session"] == session:
                    self.events.remove(event)
                    return event
            assert time.monotonic() < deadline, f"no event for {session}"
            self._sort(self.read())

    def read(self) -> Message:
        """The next line, whatever it is."""
        while not self._received:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the keeper closed the connection")
            self._received += map(protocol.decode, self._lines.feed(data))
        return self._received.pop(0)

    def start(self, script: str, **changes: Any) -> str:
        """Start a session; its id."""
        seq, session = self.send_start(script, **changes)
        self.answer(seq)
        return session

    def send_start(self, script: str, **changes: Any) -> tuple[int, str]:
        session = changes.pop("session", None) or new_session()
        env = {"PATH": os.environ["PATH"], "PYCLOUD_SESSION": session, "PYCLOUD_CLOUD": CLOUD, **changes.pop("env", {})}
        fields = {
            "session": session,
            "script": script,
            "env": env,
            "user": None,
            "hostname": "host.test",
            "cloud": CLOUD,
            "sessions": 1,
            "port_range": None,
            "record": {"name": "test"},
        }
        return self.send("start", **{**fields, **changes}), session

    def stop(self, session: str, grace: float = 5.0) -> bool:
        found: bool = self.call("stop", session=session, grace=grace, note={"why": "test"})["found"]
        return found

    def list(self) -> dict[str, Message]:
        return {entry["session"]: entry for entry in self.call("list")["sessions"]}

    def state(self, session: str) -> str | None:
        entry = self.list().get(session)
        return None if entry is None else str(entry["state"])

    def _sort(self, message: Message) -> None:
        if "event" in message:
            self.events.append(message)
        else:
            self._answers[message.pop("seq")] = message


class KeeperProcess:
    """One keeper process and its directories. ``kill`` is kill -9: what it started goes on."""

    def __init__(self, data: Path, socket_path: Path | None = None, **options: Any) -> None:
        self.data = data
        self.socket = socket_path or data / "keeper.sock"
        self.options = {"ports_dir": data / "ports", **options}
        self.log = data / "keeper.log"
        self.program = [sys.executable, "-m", "pycloud.keeper"]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, fault: str | None = None, ready: bool = True) -> Self:
        """Start a keeper; with ``ready``, wait until it listens."""
        arguments = ["--data-dir", self.data, "--socket", self.socket]
        for name, value in self.options.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)} | ({"PYCLOUD_FAULT": fault} if fault else {})
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env=env,
                start_new_session=True,
            )
        if ready:
            wait_until(self.listens, message=lambda: self.log.read_text())
        return self

    def listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            with self.client() as client:
                # What a killed keeper was just starting holds the socket of that one until it has been loaded.
                return bool(client.call("hello", version=protocol.VERSION)["pid"] == self.process.pid)
        except (FileNotFoundError, ConnectionError):
            return False

    def client(self, timeout: float = 30.0) -> Client:
        return Client(self.socket, timeout)

    def kill(self) -> None:
        """kill -9, and wait."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.wait()

    def wait(self, timeout: float = 20.0) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def traces(self, session: str | None = None) -> list[str]:
        """What lies on disk, for ``session`` or for any."""
        paths = [path for name in ("work", "logs", "state") for path in (self.data / name).glob("*")]
        return sorted(str(path.relative_to(self.data)) for path in paths if session is None or session in path.name)

    def output(self, session: str) -> str:
        return (self.data / "logs" / f"{session}.log").read_text()


def _scan() -> tuple[list[Process], list[int]]:
    found = procfs.scan()
    return found, [p.pid for p in found if p.session is None and procfs.environ_of(p.pid) == b""]


def processes_of(*sessions: str) -> list[Process]:
    """Every living process that carries the id of one of ``sessions``, or of any session of the tests' cloud."""
    found = settled(_scan)
    return [p for p in found if p.session and (p.session in sessions or (not sessions and p.session.endswith(CLOUD)))]


@contextlib.contextmanager
def keeper(data: Path, socket_path: Path | None = None, start: bool = True, **options: Any) -> Iterator[KeeperProcess]:
    """A keeper on ``data``; at the end it and all that the sessions known to it left are killed."""
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o711)
    process = KeeperProcess(data, socket_path, **options)
    try:
        if start:
            process.start()
        yield process
    finally:
        if process.process is not None:
            process.process.kill()
            process.process.wait()
        _kill_sessions(data)


def _kill_sessions(data: Path) -> None:
    """End what carries the id of a session whose journal or directory lies in ``data``."""
    names = {path.stem for folder in ("state", "work") for path in (data / folder).glob("*")}
    for process in procfs.scan():
        if process.session in names:
            procfs.signal_process(process, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Pids of the children of a process, zombies included: each of its threads has its own."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for children in lists for child in children.split()]


def wait_for_output(k: KeeperProcess, session: str, text: str) -> None:
    wait_until(lambda: text in k.output(session), message=lambda: k.output(session))


def wait_gone(session: str) -> None:
    wait_until(lambda: not processes_of(session), message=lambda: str(processes_of(session)))


def write_journal(k: KeeperProcess, session: str, *lines: Message, torn: bytes = b"") -> None:
    """Forge a journal, for a keeper that does not run yet."""
    state = k.data / "state"
    state.mkdir(exist_ok=True)
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    (state / f"{session}.journal").write_bytes(data + torn)


def python(body: str) -> str:
    """A script for this Python."""
    first = f"#!{sys.executable}\n"
    if " " in sys.executable:  # the kernel would split that path
        first = f'#!/usr/bin/env -S "{sys.executable}"\n'
    return first + textwrap.dedent(body)
