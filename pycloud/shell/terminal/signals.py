"""SIGTERM for a program that draws on the terminal: the terminal is restored before the program ends."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from prompt_toolkit.application import Application


def install_sigterm_handler(app: Application[Any]) -> None:
    """End ``app``, and then the program, on SIGTERM. Call it in the running event loop, which removes it at its end."""
    number = signal.SIGTERM
    asyncio.get_running_loop().add_signal_handler(number, exit_app, app, SystemExit(128 + number))


def exit_app(app: Application[Any], error: BaseException) -> None:
    """End ``app`` with ``error``, raised after its terminal is restored. Further calls have no effect."""
    if app.is_running and not app.is_done:
        app.exit(exception=error)
