"""``python3 -m pycloud.shell`` is ``pycloudctl``: the first steps, before anything large is loaded."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def start() -> int:
    """Load ``pycloudctl`` and run it; returns the exit code. Ctrl-C in the middle of loading ends it at once."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # otherwise whoever started it wants Ctrl-C to be ignored
        signal.signal(signal.SIGINT, _leave)
    from pycloud.shell.main import main

    try:
        signal.signal(signal.SIGINT, usual)
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Nothing is under way yet, so there is nothing to be put in order; an exception might get lost in an import."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(start())
