"""Finds the keeper of a data directory or starts one, and verifies that it is the right one.

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
#: Seconds until a started keeper must respond, and between two attempts to connect to it.
TIMEOUT, POLL_INTERVAL = 10.0, 0.02


@dataclass(frozen=True)
class KeeperSettings:
    """The settings of a keeper.

    ``log_bytes``: size limit of each log. ``nofile``: the soft limit on descriptors of sessions.
    """

    data_dir: Path
    log_bytes: int
    nofile: int

    @property
    def socket(self) -> Path:
        """The path of the keeper's socket."""
        return self.data_dir / protocol.SOCKET

    @property
    def command(self) -> list[str]:
        """The command line of the keeper; with -S, because a keeper needs nothing but the standard library."""
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
        """The first request to a keeper, which may have been started by a daemon with other settings."""
        limits = {"log_bytes": self.log_bytes, "nofile": self.nofile}
        return {"seq": 0, "op": protocol.HELLO, "version": protocol.VERSION, **limits}


@dataclass(frozen=True)
class KeeperConnection:
    """A connection to the right keeper. ``line_buffer`` may hold the beginning of its next message."""

    socket: socket.socket
    line_buffer: protocol.LineSplitter


class KeeperLauncher:
    """Finds or starts the keeper of the data directory in ``settings``."""

    def __init__(self, settings: KeeperSettings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    def connect(self) -> KeeperConnection:
        """Return a connection to the running keeper, or to one that was started. Raises KeeperError."""
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
        """Return a connection, None where no keeper listens. Raises KeeperError where an unsuitable keeper does."""
        holder = self._lock_holder()
        # The keeper of an earlier version may listen elsewhere.
        for path in dict.fromkeys((self._settings.socket, Path(holder.get("socket", self._settings.socket)))):
            try:
                connection = protocol.connect(path, TIMEOUT)
            except OSError:
                continue
            try:
                return self._handshake(connection, holder.get("pid"))
            except TimeoutError:
                connection.close()
                raise KeeperError(f"the keeper at {path} accepts connections but does not answer") from None
            except (OSError, protocol.LineError):
                connection.close()  # the keeper is ending, or the peer was never a keeper
            except BaseException:
                connection.close()
                raise
        return None

    def _handshake(self, connection: socket.socket, lock_pid: int | None) -> KeeperConnection:
        """Send hello and check the response. Events received here are dropped: the list requested next has them."""
        line_buffer, response = protocol.LineSplitter(max_size=None), None
        connection.sendall(protocol.encode(self._settings.hello))
        while response is None:
            chunk = connection.recv(_CHUNK)
            if not chunk:
                raise ConnectionError("the keeper closed the connection")
            messages = map(protocol.decode, line_buffer.feed(chunk))
            response = next((message for message in messages if message.get("seq") == 0), None)
        reason = failure_reason(response, self._settings.data_dir, protocol.file_id(self._settings.data_dir), lock_pid)
        if reason:
            raise KeeperError(reason)
        connection.settimeout(None)
        return KeeperConnection(connection, line_buffer)

    def _ask_to_listen(self) -> bool:
        """Return whether a keeper runs that is unreachable; send it SIGHUP, so that it listens anew."""
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
            return {}  # another user's keeper, whose socket is not accessible either

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
    """Return why the keeper with this response to hello must not be used for ``data_dir``; None if it may. Pure.

    ``own_dir_id``: device and inode of the data directory. ``lock_pid``: the pid in its locked keeper.lock.
    """
    if "error" in response:
        return f"the keeper of {data_dir} rejected the connection: {response['error'].get('message')}"
    if response.get("version") != protocol.VERSION:
        return (
            f"the keeper of {data_dir} uses version {response.get('version')} of its protocol, this daemon "
            f"{protocol.VERSION}: use the version of PyCloud that started it until its sessions have ended"
        )
    # An early keeper does not send its data directory: then the lock that it holds there identifies it.
    is_ours = response["data"] == own_dir_id if "data" in response else response.get("pid") == lock_pid
    if is_ours:
        return None
    return (
        f"the keeper found in {data_dir} (pid {response.get('pid')}) works in another data directory: if this one was "
        "moved, move it back until its sessions have ended"
    )


def open_log(path: Path) -> int:
    """Open the keeper's log for appending, readable by the owner only; return the descriptor. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)
    return fd
