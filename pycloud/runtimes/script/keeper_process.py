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
TIMEOUT, POLL_INTERVAL = 10.0, 0.02


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
class KeeperConnection:
    """A connection to the right keeper. ``lines`` may hold the beginning of what it says next."""

    socket: socket.socket
    line_buffer: protocol.LineSplitter


class KeeperLauncher:
    """The data directory of ``settings``, as the place where a keeper is found."""

    def __init__(self, settings: KeeperSettings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    def connect(self) -> KeeperConnection:
        """A line to the keeper that runs, or to one that was started for it. Raises KeeperError."""
        connection = self._try_connect()
        if connection is None:
            if not self._ask_to_listen():
                self._start()
            connection = self._wait_until_reachable()
        if self._child is not None:
            self._child.poll()
        return connection

    def _wait_until_reachable(self) -> KeeperConnection:
        with gevent.Timeout(TIMEOUT, KeeperError(f"the keeper does not answer; {self._log_hint()}")):
            while (connection := self._try_connect()) is None:
                if self._child is not None and self._child.poll() is not None:
                    raise KeeperError(f"the keeper ended with code {self._child.returncode}; {self._log_hint()}")
                gevent.sleep(POLL_INTERVAL)
        return connection

    def _try_connect(self) -> KeeperConnection | None:
        """None where nobody listens. Raises KeeperError where somebody does who is not our keeper."""
        holder = self._lock_holder()
        # An earlier version's keeper may listen elsewhere.
        for path in dict.fromkeys((self._settings.socket, Path(holder.get("socket", self._settings.socket)))):
            try:
                connection = protocol.connect(path, TIMEOUT)
            except OSError:
                continue
            try:
                return self._handshake(connection, holder.get("pid"))
            except TimeoutError:
                connection.close()
                raise KeeperError(f"the keeper at {path} takes connections but does not answer") from None
            except (OSError, protocol.LineError):
                connection.close()  # it ends just now, or was never a keeper
            except BaseException:
                connection.close()
                raise
        return None

    def _handshake(self, connection: socket.socket, lock_pid: int | None) -> KeeperConnection:
        """Say hello. What the keeper tells of ends meanwhile is found again in the list that is asked for next."""
        line_buffer, response = protocol.LineSplitter(max_size=None), None
        connection.sendall(protocol.encode(self._settings.hello))
        while response is None:
            chunk = connection.recv(_CHUNK)
            if not chunk:
                raise ConnectionError("it hung up")
            messages = map(protocol.decode, line_buffer.feed(chunk))
            response = next((message for message in messages if message.get("seq") == 0), None)
        reason = failure_reason(response, self._settings.data_dir, protocol.file_id(self._settings.data_dir), lock_pid)
        if reason:
            raise KeeperError(reason)
        connection.settimeout(None)
        return KeeperConnection(connection, line_buffer)

    def _ask_to_listen(self) -> bool:
        """Whether a keeper lives that only nobody can reach: it is asked to listen anew."""
        try:
            held = file_lock.is_held(self._settings.data_dir)
        except OSError as error:
            raise KeeperError(f"cannot read {self._settings.data_dir / file_lock.NAME}: {error.strerror}") from error
        pid = self._lock_holder().get("pid") if held else None
        if pid is not None:
            try:
                os.kill(pid, signal.SIGHUP)
            except ProcessLookupError:
                return False
        return held

    def _lock_holder(self) -> dict[str, Any]:
        try:
            return file_lock.holder(self._settings.data_dir) or {}
        except OSError:
            return {}  # another user's: then neither can its socket be reached

    def _start(self) -> None:
        package = Path(pycloud.__file__).parent.parent
        env = {name: value for name, value in os.environ.items() if name in ("PATH", "PYCLOUD_FAULT")}
        try:
            output = open_log(self._settings.data_dir / "keeper.log")
            try:
                self._child = subprocess.Popen(
                    self._settings.command,
                    env={**env, "PYTHONPATH": str(package)},
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

    def _log_hint(self) -> str:
        return f"see {self._settings.data_dir / 'keeper.log'}"


def failure_reason(
    response: dict[str, Any], data_dir: Path, own_dir_id: list[int] | None, lock_pid: int | None
) -> str | None:
    """Why the keeper that answered hello like this is not to be used for ``data_dir``; None where it is. Pure.

    ``own``: device and inode of the data directory. ``announced``: the pid that its locked keeper.lock names.
    """
    if "error" in response:
        return f"the keeper of {data_dir} refuses to talk: {response['error'].get('message')}"
    if response.get("version") != protocol.VERSION:
        return (
            f"the keeper of {data_dir} speaks version {response.get('version')} of its protocol, this daemon only "
            f"{protocol.VERSION}: use the version of PyCloud that started it until its sessions have ended"
        )
    # An early keeper does not say where it works: then the lock that it holds there tells.
    is_ours = response["data"] == own_dir_id if "data" in response else response.get("pid") == lock_pid
    if is_ours:
        return None
    return (
        f"the keeper found in {data_dir} (pid {response.get('pid')}) works in another data directory: if this one was "
        "moved, move it back until its sessions have ended"
    )


def open_log(path: Path) -> int:
    """The keeper's log for appending, a descriptor; nobody else's to read. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)
    return fd
