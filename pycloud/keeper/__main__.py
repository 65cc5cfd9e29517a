"""The keeper's command line: ``python -m pycloud.keeper --data-dir DIR ...``.

The daemon starts it in a process session of its own, with the keeper's log as standard error. May touch: the whole
process (limits, signals, working directory); then it builds the parts and runs the loop.
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

from pycloud.keeper.event_loop import SIGNALS, EventLoop, SelfPipe
from pycloud.keeper.ipc import protocol
from pycloud.keeper.ipc.server import MAX_CONNECTIONS, Server
from pycloud.keeper.lifecycle.process_tree import ProcessTree
from pycloud.keeper.lifecycle.starter import Paths, ProcessStarter, limit_descriptors
from pycloud.keeper.lifecycle.terminator import Terminator
from pycloud.keeper.operations import Operations
from pycloud.keeper.recovery import StartupRecovery
from pycloud.keeper.storage.dir_remover import DirRemover
from pycloud.keeper.storage.journal_store import JournalStore
from pycloud.keeper.storage.log_limiter import LogLimiter
from pycloud.keeper.system import file_lock, ports
from pycloud.keeper.system.file_lock import LockedError
from pycloud.keeper.system.inotify import InotifyWatcher

log = logging.getLogger("pycloud.keeper")

_PR_SET_CHILD_SUBREAPER = 36
_SPARE_DESCRIPTORS = MAX_CONNECTIONS + 32  # connections, files opened briefly, and the descriptors of the loop itself


def main(argv: list[str] | None = None) -> int:
    """Run a keeper until it is idle or receives SIGTERM; return the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s keeper[%(process)d] %(levelname)s %(message)s")
    data = options.data_dir.absolute()
    socket = options.socket.absolute() if options.socket else data / protocol.SOCKET
    try:
        lock_fd = file_lock.acquire(data)
        try:
            _prepare_process(options.nofile)
            _run_keeper(data, socket, options, lock_fd)
        finally:
            file_lock.release(lock_fd)
    except (LockedError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pycloud.keeper", description="Supervises the script sessions of a node.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the node's data directory")
    parser.add_argument(
        "--socket",
        type=Path,
        help=f"socket to listen at (default: {protocol.SOCKET} in the data directory)",
    )
    parser.add_argument(
        "--log-bytes",
        type=int,
        default=10 * 1024 * 1024,
        help="size limit of each log in bytes: the newest are kept",
    )
    parser.add_argument(
        "--ports-dir",
        type=Path,
        default=None,
        help="directory of the port lock files, shared by all nodes",
    )
    parser.add_argument(
        "--nofile", type=int, default=1024, help="soft limit on open files, for the keeper and sessions"
    )
    return parser


def _prepare_process(nofile: int) -> None:
    """Set the limits and signals that sessions inherit, and become the subreaper of orphans. Raises OSError."""
    limit_descriptors(nofile)
    os.chdir("/")
    for ignored in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Popen restores these two itself
        if signal.getsignal(ignored) == signal.SIG_IGN:
            signal.signal(ignored, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot become the subreaper of orphaned processes: {os.strerror(number)}")


def _run_keeper(data: Path, socket: Path, options: argparse.Namespace, lock_fd: int) -> None:
    """Build all parts, recover the sessions of an earlier keeper, listen, and run. Raises OSError when this fails."""
    max_pidfds = max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_DESCRIPTORS)
    paths, selector, self_pipe = Paths(data), selectors.DefaultSelector(), SelfPipe()
    paths.prepare()
    journal_store, process_tree, remover = (
        JournalStore(paths.state),
        ProcessTree(selector, max_pidfds),
        DirRemover(self_pipe),
    )
    inotify_watcher = InotifyWatcher()
    log_limiter = LogLimiter(paths.log, options.log_bytes, inotify_watcher)
    if inotify_watcher.descriptor is not None:
        selector.register(inotify_watcher.descriptor, selectors.EVENT_READ, log_limiter.on_inotify_events)
    terminator = Terminator(process_tree, on_finished=log_limiter.discard)
    starter = ProcessStarter(paths, journal_store, process_tree, options.ports_dir or ports.default_directory())
    server: Server
    operations = Operations(
        paths,
        journal_store,
        process_tree,
        starter,
        terminator,
        log_limiter,
        remover,
        emit=lambda event: server.emit(event),
    )
    server = Server(selector, operations.handle)
    loop = EventLoop(
        selector, self_pipe, server, operations, journal_store, process_tree, terminator, log_limiter, remover
    )
    StartupRecovery(paths, journal_store, process_tree, terminator, operations, log_limiter, remover).run()
    server.listen(socket)
    file_lock.announce(lock_fd, socket, protocol.VERSION)
    gc.freeze()  # these objects last as long as the process: the collector need not examine them
    log.info("supervising %d sessions, listening at %s", len(process_tree.leaders), socket)
    try:
        log.info("exiting: %s", _run_loop(loop, self_pipe))
    finally:
        server.close()
        inotify_watcher.close()
        self_pipe.close()
        selector.close()


def _run_loop(loop: EventLoop, self_pipe: SelfPipe) -> str:
    """Run the loop in a thread of its own; return the reason why it ended.

    Orphans become children of the main thread; a process that is started becomes a child of the thread that starts it.
    The main thread starts nothing, so its list of children holds only orphans (see ``procfs.orphans``). Otherwise, each
    end of a session would require a scan of the first processes of all other sessions.
    """
    for number in SIGNALS:
        signal.signal(number, _ignore)
    self_pipe.wake_on_signals()
    outcome: SimpleQueue[str | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put(loop.run())
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=run, name="loop").start()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # so that signals wake the loop's thread, not this one
    result = outcome.get()
    if isinstance(result, BaseException):
        raise result
    return result


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: a handler, as sessions would inherit SIG_IGN. The loop handles the signals (see ``SelfPipe``)."""


if __name__ == "__main__":
    sys.exit(main())
