"""Entry point of ``pycloudctl`` (``python3 -m pycloud.shell``): the steps before any large module is loaded."""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def start() -> NoReturn:
    """Load ``pycloudctl``, run it, and exit with its exit code. Ctrl-C during loading ends the process at once."""
    previous_handler = signal.getsignal(signal.SIGINT)
    if previous_handler is signal.default_int_handler:  # otherwise the parent process has SIGINT ignored
        signal.signal(signal.SIGINT, _exit_interrupted)
    gc.disable()  # while modules load, the collector finds nothing to free
    from pycloud.shell.main import main

    gc.freeze()
    gc.enable()
    try:
        signal.signal(signal.SIGINT, previous_handler)
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    # All output is written and closed. Python's own finalization would take a tenth of the time of a short command.
    os._exit(code)


def _exit_interrupted(_number: int, _frame: FrameType | None) -> None:
    """Exit without cleanup: no command runs yet, and an exception could be swallowed by an import."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    start()
