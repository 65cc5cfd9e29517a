"""A program that draws on the terminal is told to end: it puts the terminal in order first."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from prompt_toolkit.application import Application


def install_sigterm_handler(app: Application[Any]) -> None:
    """End ``app``, and then the program, on SIGTERM. Called when its loop runs; the loop takes it back at its end."""
    number = signal.SIGTERM
    asyncio.get_running_loop().add_signal_handler(number, exit_app, app, SystemExit(128 + number))


def exit_app(app: Application[Any], error: BaseException) -> None:
    """Let ``app`` end with ``error``, once its terminal is as it was; the first call counts."""
    if app.is_running and not app.is_done:
        app.exit(exception=error)
