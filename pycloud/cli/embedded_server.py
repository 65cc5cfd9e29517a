"""A private Redis where there is none: a child process on 127.0.0.1 that ends with the daemon.

Its data lie in ``redis`` under the data directory. It works in a patched process and in a plain one: all waiting is
done with ``time.sleep`` and sockets. Imported after patching only.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pycloud.cli.embedded_program import find_server
from pycloud.errors import EmbeddedRedisError
from pycloud.keeper.system import file_lock
from pycloud.transport.url import parse_redis_url

ADDRESS = "127.0.0.1"
_LOCAL = ("localhost", ADDRESS)
_STOP_TIMEOUT = 10.0
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


class EmbeddedRedis:
    """One private server, at the port (and with the password) of ``url``.

    ``server`` is the program, found by itself when None. Raises EmbeddedRedisError where the URL cannot be served,
    no program is found, the port is taken, or the server does not answer within ``timeout`` seconds.
    """

    def __init__(self, url: str, data_dir: Path, *, program: Path | None = None, timeout: float = 10.0) -> None:
        parts = parse_redis_url(url)
        if parts.scheme != "redis" or parts.host not in _LOCAL or parts.username not in (None, "default"):
            raise EmbeddedRedisError(
                f"a private Redis cannot serve this URL: it needs redis:// with host localhost or {ADDRESS} "
                "and no user name"
            )
        self.port = parts.port
        self.directory = data_dir / "redis"
        self.program = program or find_server()
        self._password = parts.password
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def exit_description(self) -> str:
        """For people, of a server that has ended: by which signal or with which code, and its last words."""
        code = self._process.poll() if self._process is not None else None
        how = "it was not started" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"
        return f"{how}; its last words: {self._log_tail()}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        lock_fd = self._lock()
        try:
            if is_listening(ADDRESS, self.port):
                raise EmbeddedRedisError(
                    f"something listens on {ADDRESS}:{self.port} already: use it (without --embedded-redis), "
                    "or choose another port with --redis"
                )
            self._process = self._spawn(lock_fd)
        finally:
            os.close(lock_fd)
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server in order. Does nothing where it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            log.warning("the private Redis (pid %d) did not stop within %g s: killing it", process.pid, _STOP_TIMEOUT)
            process.kill()
            process.wait()

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _lock(self) -> int:
        """The lock that the server inherits: it is free again only when the server has ended.

        The server of a daemon that was killed needs a moment to end; two servers must never share one directory.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = file_lock.open_locked(self.directory / "lock", self._timeout)
        except OSError as error:
            raise EmbeddedRedisError(f"cannot write {self.directory}: {error.strerror}") from error
        if fd is None:
            raise EmbeddedRedisError(f"another private Redis still runs on {self.directory}")
        return fd

    def _spawn(self, lock_fd: int) -> subprocess.Popen[bytes]:
        with (self.directory / "redis.log").open("wb") as output:
            process = subprocess.Popen(
                [str(self.program), "-"],  # settings from standard input: a password shows in no list of processes
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(lock_fd,),
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon, which then ends the server
                preexec_fn=_die_with_parent(os.getpid()),
            )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:  # if it died at once, its log says why
            process.stdin.write(self._settings())
        return process

    def _settings(self) -> bytes:
        settings = {
            "bind": ADDRESS,
            "port": str(self.port),
            "dir": str(self.directory),
            "appendonly": "yes",
            "save": "",
            "daemonize": "no",
            "logfile": "",
        }
        if self._password:
            settings["requirepass"] = self._password
        return "".join(f"{name} {_quoted(value)}\n" for name, value in settings.items()).encode("ascii")

    def _await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._timeout
        with redis.Redis(
            host=ADDRESS, port=self.port, password=self._password, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)
        ) as client:
            while not self._is_ready(client):
                if self._process.poll() is not None:
                    raise EmbeddedRedisError(f"the private Redis ended at once; its last words: {self._log_tail()}")
                if time.monotonic() > deadline:
                    raise EmbeddedRedisError(
                        f"the private Redis does not answer after {self._timeout:g} s; its last words: "
                        f"{self._log_tail()}"
                    )
                time.sleep(0.02)

    def _is_ready(self, client: redis.Redis) -> bool:
        """Whether our own server has its data loaded; a stranger may have taken the port before it could."""
        try:
            client.ping()
            return client.info("server").get("process_id") == self.pid
        except redis.RedisError:
            return False

    def _log_tail(self) -> str:
        lines = (self.directory / "redis.log").read_text(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-3:]) or "none"


def is_listening(host: str, port: int) -> bool:
    """Whether anybody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def wait_for_previous(data_dir: Path, timeout: float) -> None:
    """Wait until the private Redis of a daemon that was killed has ended, for ``timeout`` seconds at most."""
    try:
        fd = os.open(data_dir / "redis" / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        file_lock.lock_within(fd, timeout)
    finally:
        os.close(fd)


def _quoted(text: str) -> str:
    """A value for the server's configuration: what is not plainly harmless goes as an escape."""
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    return '"' + "".join(chr(byte) if byte in safe else f"\\x{byte:02x}" for byte in os.fsencode(text)) + '"'


def _die_with_parent(parent: int) -> Callable[[], None]:
    """What the child does before exec, so that the kernel ends it with its parent, however that ends."""
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        # The parent may have died before the wish was expressed: then nobody would ever send the signal.
        if prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM)) != 0 or os.getppid() != parent:
            os._exit(1)

    return in_child
