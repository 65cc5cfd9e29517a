"""The keeper's command line: ``python -m pycloud.keeper --data-dir DIR ...``.

The daemon starts it, in a session of its own and with its log as standard error. May touch: the whole process (limits,
signals, working directory), then builds the parts and lets them run.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import logging
import os
import resource
import selectors
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from pycloud.keeper.event_loop import SIGNALS, Loop, Wake
from pycloud.keeper.ipc import protocol
from pycloud.keeper.ipc.server import MAX_CONNECTIONS, Server
from pycloud.keeper.lifecycle.process_tree import Family
from pycloud.keeper.lifecycle.starter import Paths, Starter, limit_descriptors
from pycloud.keeper.lifecycle.terminator import Endings
from pycloud.keeper.operations import Operations
from pycloud.keeper.recovery import Settling
from pycloud.keeper.storage.dir_remover import Remover
from pycloud.keeper.storage.journal_store import Book
from pycloud.keeper.storage.log_limiter import Sweeper
from pycloud.keeper.system import file_lock, ports
from pycloud.keeper.system.file_lock import LockedError
from pycloud.keeper.system.inotify import Watches

log = logging.getLogger("pycloud.keeper")

_PR_SET_CHILD_SUBREAPER = 36
_SPARE_DESCRIPTORS = MAX_CONNECTIONS + 32  # connections, files open for a moment, the loop's own


def main(argv: list[str] | None = None) -> int:
    """Be a keeper until nobody needs one; the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s keeper[%(process)d] %(levelname)s %(message)s")
    data = options.data_dir.absolute()
    socket = options.socket.absolute() if options.socket else data / protocol.SOCKET
    try:
        held = file_lock.acquire(data)
        try:
            _prepare_process(options.nofile)
            _keep(data, socket, options, held)
        finally:
            file_lock.withdraw(held)
    except (LockedError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pycloud.keeper", description="Parent of a cloud's script sessions.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the cloud's data directory")
    parser.add_argument(
        "--socket", type=Path, help=f"where to listen (default: {protocol.SOCKET} in the data directory)"
    )
    parser.add_argument("--log-bytes", type=int, default=10 * 1024 * 1024, help="newest bytes kept of each log")
    parser.add_argument("--ports-dir", type=Path, default=None, help="lock files of ports, shared by all clouds")
    parser.add_argument("--nofile", type=int, default=1024, help="soft limit on open files, for sessions too")
    return parser


def _prepare_process(nofile: int) -> None:
    """Limits and signals as sessions shall inherit them, and the care of orphans. Raises OSError."""
    limit_descriptors(nofile)
    os.chdir("/")
    for ignored in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Popen gives those two back itself
        if signal.getsignal(ignored) == signal.SIG_IGN:
            signal.signal(ignored, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot become the parent of orphans: {os.strerror(number)}")


def _keep(data: Path, socket: Path, options: argparse.Namespace, held: int) -> None:
    """Build all parts, settle what was left, listen, run. Raises OSError when it cannot begin."""
    room = max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_DESCRIPTORS)
    paths, selector, wake = Paths(data), selectors.DefaultSelector(), Wake()
    paths.prepare()
    book, family, remover = Book(paths.state), Family(selector, room), Remover(wake)
    watches = Watches()
    sweeper = Sweeper(paths.log, options.log_bytes, watches)
    if watches.descriptor is not None:
        selector.register(watches.descriptor, selectors.EVENT_READ, sweeper.woken)
    endings = Endings(family, on_over=sweeper.discard)
    starter = Starter(paths, book, family, options.ports_dir or ports.default_directory())
    server: Server
    operations = Operations(
        paths, book, family, starter, endings, sweeper, remover, emit=lambda event: server.emit(event)
    )
    server = Server(selector, operations.handle)
    loop = Loop(selector, wake, server, operations, book, family, endings, sweeper, remover)
    Settling(paths, book, family, endings, operations, sweeper, remover).run()
    server.listen(socket)
    file_lock.announce(held, socket, protocol.VERSION)
    gc.freeze()  # all that is here stays: there is nothing to find in it
    log.info("keeping %d sessions, listening at %s", len(family.leaders), socket)
    try:
        log.info("ends: %s", _run(loop, wake))
    finally:
        server.close()
        watches.close()
        wake.close()
        selector.close()


def _run(loop: Loop, wake: Wake) -> str:
    """Run the loop in a thread of its own; why it ended.

    Whoever is orphaned becomes a child of the main thread, whoever is started one of the thread that starts it. So the
    main thread, which does nothing, has a list of the orphans alone (see ``processes.orphans``): else each end of a
    session would mean to go over the children that all other sessions are.
    """
    for number in SIGNALS:
        signal.signal(number, _ignore)
    wake.on_signals()
    outcome: SimpleQueue[str | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put(loop.run())
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=run, name="loop").start()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the loop's thread, not this one, is to be woken by them
    result = outcome.get()
    if isinstance(result, BaseException):
        raise result
    return result


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler, not SIG_IGN: sessions would inherit that. What is to be done is done by the loop (see ``Wake``)."""


if __name__ == "__main__":
    sys.exit(main())
