"""``python3 -m pycloud.shell`` is ``pycloudctl``: the first steps, before anything large is loaded."""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def start() -> NoReturn:
    """Load ``pycloudctl``, run it, and end with its exit code. Ctrl-C in the middle of loading ends it at once."""
    previous_handler = signal.getsignal(signal.SIGINT)
    if previous_handler is signal.default_int_handler:  # otherwise whoever started it wants Ctrl-C to be ignored
        signal.signal(signal.SIGINT, _exit_interrupted)
    gc.disable()  # what is being loaded is no garbage
    from pycloud.shell.main import main

    gc.freeze()
    gc.enable()
    try:
        signal.signal(signal.SIGINT, previous_handler)
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    # All is written and closed. Taking apart all that was loaded, as Python does at its end, would be a tenth of what a
    # short command takes.
    os._exit(code)


def _exit_interrupted(_number: int, _frame: FrameType | None) -> None:
    """Nothing is under way yet, so there is nothing to be put in order; an exception might get lost in an import."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    start()
