"""Finds the keeper of a data directory or starts one, and makes sure that it is the right one.

May touch: ``keeper.log`` and the socket in the data directory; processes: it starts a keeper, or sends one SIGHUP.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

import pycloud
from pycloud.errors import KeeperError
from pycloud.keeper.ipc import protocol
from pycloud.keeper.system import file_lock

_CHUNK = 1 << 16
#: Seconds until a keeper that was started must answer, and between two looks whether it does.
PATIENCE, LOOK = 10.0, 0.02


@dataclass(frozen=True)
class KeeperSettings:
    """What a keeper works with. ``nofile`` is the soft limit on descriptors that sessions get."""

    data_dir: Path
    log_bytes: int
    nofile: int

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.data_dir / protocol.SOCKET

    @property
    def command(self) -> list[str]:
        """The command line; -S because a keeper needs nothing but the standard library."""
        options = {
            "--data-dir": self.data_dir,
            "--socket": self.socket,
            "--log-bytes": self.log_bytes,
            "--nofile": self.nofile,
        }
        words = [str(word) for pair in options.items() for word in pair]
        return [sys.executable, "-S", "-X", "utf8", "-m", "pycloud.keeper", *words]

    @property
    def hello(self) -> dict[str, Any]:
        """What it is told first: it may have been started by a daemon with other settings."""
        limits = {"log_bytes": self.log_bytes, "nofile": self.nofile}
        return {"seq": 0, "op": protocol.HELLO, "version": protocol.VERSION, **limits}


@dataclass(frozen=True)
class Line:
    """A connection to the right keeper. ``lines`` may hold the beginning of what it says next."""

    socket: socket.socket
    lines: protocol.Lines


class KeeperHome:
    """The data directory of ``settings``, as the place where a keeper is found."""

    def __init__(self, settings: KeeperSettings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    def connect(self) -> Line:
        """A line to the keeper that runs, or to one that was started for it. Raises KeeperError."""
        line = self._reach()
        if line is None:
            if not self._call():
                self._start()
            line = self._await()
        if self._child is not None:
            self._child.poll()
        return line

    def _await(self) -> Line:
        with gevent.Timeout(PATIENCE, KeeperError(f"the keeper does not answer; {self._hint()}")):
            while (line := self._reach()) is None:
                if self._child is not None and self._child.poll() is not None:
                    raise KeeperError(f"the keeper ended with code {self._child.returncode}; {self._hint()}")
                gevent.sleep(LOOK)
        return line

    def _reach(self) -> Line | None:
        """None where nobody listens. Raises KeeperError where somebody does who is not our keeper."""
        announced = self._announced()
        # An earlier version's keeper may listen elsewhere.
        for path in dict.fromkeys((self._settings.socket, Path(announced.get("socket", self._settings.socket)))):
            try:
                connection = protocol.connect(path, PATIENCE)
            except OSError:
                continue
            try:
                return self._greet(connection, announced.get("pid"))
            except TimeoutError:
                connection.close()
                raise KeeperError(f"the keeper at {path} takes connections but does not answer") from None
            except (OSError, protocol.LineError):
                connection.close()  # it ends just now, or was never a keeper
            except BaseException:
                connection.close()
                raise
        return None

    def _greet(self, connection: socket.socket, announced: int | None) -> Line:
        """Say hello. What the keeper tells of ends meanwhile is found again in the list that is asked for next."""
        lines, answer = protocol.Lines(longest=None), None
        connection.sendall(protocol.encode(self._settings.hello))
        while answer is None:
            chunk = connection.recv(_CHUNK)
            if not chunk:
                raise ConnectionError("it hung up")
            messages = map(protocol.decode, lines.feed(chunk))
            answer = next((message for message in messages if message.get("seq") == 0), None)
        refusal = why_not(answer, self._settings.data_dir, protocol.file_id(self._settings.data_dir), announced)
        if refusal:
            raise KeeperError(refusal)
        connection.settimeout(None)
        return Line(connection, lines)

    def _call(self) -> bool:
        """Whether a keeper lives that only nobody can reach: it is asked to listen anew."""
        try:
            held = file_lock.is_held(self._settings.data_dir)
        except OSError as error:
            raise KeeperError(f"cannot read {self._settings.data_dir / file_lock.NAME}: {error.strerror}") from error
        pid = self._announced().get("pid") if held else None
        if pid is not None:
            try:
                os.kill(pid, signal.SIGHUP)
            except ProcessLookupError:
                return False
        return held

    def _announced(self) -> dict[str, Any]:
        try:
            return file_lock.holder(self._settings.data_dir) or {}
        except OSError:
            return {}  # another user's: then neither can its socket be reached

    def _start(self) -> None:
        package = Path(pycloud.__file__).parent.parent
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYCLOUD_FAULT")}
        try:
            output = open_log(self._settings.data_dir / "keeper.log")
            try:
                self._child = subprocess.Popen(
                    self._settings.command,
                    env={**kept, "PYTHONPATH": str(package)},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=output,
                    start_new_session=True,
                )
            finally:
                os.close(output)
        except OSError as error:
            raise KeeperError(f"the keeper cannot be started: {error.strerror}: {error.filename}") from error

    def _hint(self) -> str:
        return f"see {self._settings.data_dir / 'keeper.log'}"


def why_not(answer: dict[str, Any], data_dir: Path, own: list[int] | None, announced: int | None) -> str | None:
    """Why the keeper that answered hello like this is not to be used for ``data_dir``; None where it is. Pure.

    ``own``: device and inode of the data directory. ``announced``: the pid that its locked keeper.lock names.
    """
    if "error" in answer:
        return f"the keeper of {data_dir} refuses to talk: {answer['error'].get('message')}"
    if answer.get("version") != protocol.VERSION:
        return (
            f"the keeper of {data_dir} speaks version {answer.get('version')} of its protocol, this daemon only "
            f"{protocol.VERSION}: use the version of PyCloud that started it until its sessions have ended"
        )
    # An early keeper does not say where it works: then the lock that it holds there tells.
    ours = answer["data"] == own if "data" in answer else answer.get("pid") == announced
    if ours:
        return None
    return (
        f"the keeper found in {data_dir} (pid {answer.get('pid')}) works in another data directory: if this one was "
        "moved, move it back until its sessions have ended"
    )


def open_log(path: Path) -> int:
    """The keeper's log for appending, a descriptor; nobody else's to read. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)
    return fd
