"""``--daemon``: the process detaches and reports to its parent whether the start succeeded.

Forks twice, starts a session of its own, and sends "ready" or the reason of a failure through a pipe. Call it before
gevent is imported: an event loop does not survive a fork. Independent of what the daemon does.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

#: Seconds between SIGTERM and SIGKILL for a daemon that missed its deadline.
_KILL_GRACE = 5.0


class ReadinessPipe:
    """The daemon's end of the readiness pipe. Call it once the daemon is ready; later calls do nothing."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe
        self._send(f"pid {os.getpid()}")

    def __call__(self) -> None:
        self._send("ready")
        self._close()

    def failed(self, reason: str) -> None:
        """Report why the daemon cannot become ready; the starting process then waits for its end."""
        self._send("failed " + " ".join(reason.split()))

    def _send(self, line: str) -> None:
        if self._pipe is not None:
            # The starting process may have been interrupted meanwhile: the daemon runs on without it.
            with contextlib.suppress(BrokenPipeError):
                os.write(self._pipe, line.encode() + b"\n")

    def _close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


@dataclass(frozen=True)
class StartResult:
    """Result of a start, for the process that requested it.

    ``pid`` is None where the daemon ended before it sent its pid. ``reason`` is set where the daemon reported why it
    failed; it is None where it died without a report, and where it missed the deadline (``timed_out``; it was ended
    then).
    """

    ready: bool
    pid: int | None = None
    reason: str | None = None
    timed_out: bool = False


def daemonize(run: Callable[[ReadinessPipe], int], log_file: Path, timeout: float) -> StartResult:
    """Run ``run`` in a daemon; returns when it is ready, has failed, or was ended after ``timeout`` seconds.

    ``run`` receives the ReadinessPipe to call, and returns the daemon's exit code; standard output and error are
    ``log_file``, standard input is empty, the working directory is /. Only the calling process returns from here.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    # SIGINT is blocked until the pid of the daemon to terminate is known.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    intermediate_pid = os.fork()
    if intermediate_pid == 0:
        os.close(reader)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _become_daemon(run, log_file, writer)
    os.close(writer)
    try:
        os.waitpid(intermediate_pid, 0)
        return _await_result(reader, timeout, lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask))
    finally:
        os.close(reader)


def complete_stdio() -> None:
    """Open /dev/null in place of each closed standard stream; call it before anything else is opened.

    Otherwise the next file or pipe that is opened gets that descriptor, and standard output is written into it.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, closefd=False))


def wait_gone(pidfd: int, timeout: float) -> bool:
    """Wait for the end of this process, for at most ``timeout`` seconds; returns whether it has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def _become_daemon(run: Callable[[ReadinessPipe], int], log_file: Path, pipe: int) -> NoReturn:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)  # so that the daemon is no session leader and cannot acquire a terminal by opening one
    readiness = ReadinessPipe(pipe)
    os.umask(0o022)
    os.chdir("/")
    try:
        _redirect(log_file)
    except OSError as error:
        readiness.failed(f"cannot write the log file {log_file}: {error.strerror}")
        os._exit(1)
    _close_inherited(keep=pipe)
    raise SystemExit(run(readiness))


def _redirect(log_file: Path) -> None:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    nothing = os.open(os.devnull, os.O_RDWR)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)


def _close_inherited(keep: int) -> None:
    """Close descriptors inherited from a shell or supervisor: an open pipe end would keep its reader waiting."""
    for fd in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if fd > 2 and fd != keep:
            with contextlib.suppress(OSError):  # the descriptor of this listing is closed already
                os.close(fd)


def _await_result(reader: int, timeout: float, allow_interrupts: Callable[[], object]) -> StartResult:
    pid = reason = None
    try:
        for line in _read_lines(reader, timeout):
            word, _, rest = line.partition(" ")
            if word == "pid":
                pid = int(rest)
                allow_interrupts()
            elif word == "ready":
                return StartResult(ready=True, pid=pid)
            else:
                reason = rest  # reads on to the end of the pipe: an immediate retry then finds no daemon
    except TimeoutError:
        _terminate(pid)
        return StartResult(ready=False, pid=pid, reason=reason, timed_out=True)
    except KeyboardInterrupt:
        _terminate(pid)
        raise
    finally:
        allow_interrupts()
    return StartResult(ready=False, pid=pid, reason=reason)


def _read_lines(reader: int, timeout: float) -> Iterator[str]:
    """Yield the lines from the pipe until its other end is closed. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    rest = b""
    while True:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        chunk = os.read(reader, 4096)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in lines)


def _terminate(pid: int | None) -> None:
    """End the daemon that was started. Its end of the pipe is still open, so its pid cannot have been reused."""
    if pid is None:
        return
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(pidfd, number)
            if wait_gone(pidfd, _KILL_GRACE):
                return
    except ProcessLookupError:
        return  # it ended in between
    finally:
        os.close(pidfd)
