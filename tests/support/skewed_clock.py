"""A cloud on a host whose clock is wrong: its daemon and its keeper run under libfaketime.

The keeper gets a small environment of the daemon's making, so the clock cannot come in that way: the daemon is told
that its Python is a small program which sets the clock first. Sessions see the true time.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tests.support.daemon import PROGRAM, Daemon

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
LAUNCH = """
import runpy, sys
sys.argv, sys.executable = sys.argv[2:], sys.argv[1]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def clock_off_by(seconds: int) -> dict[str, str]:
    """The environment of a process whose wall clock (not the monotonic one) is wrong by so much."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


class SkewedDaemon(Daemon):
    """A daemon whose host's clock is off by ``seconds``."""

    def __init__(self, home: Path, redis_url: str, seconds: int, **options: object) -> None:
        super().__init__(home, redis_url, clock_off_by(seconds), **options)
        self._python = home / "python"
        self._seconds = seconds

    @property
    def command(self) -> list[str]:
        """Its command line."""
        python, program, *flags = super().command
        assert program == str(PROGRAM)
        return [python, "-c", LAUNCH, str(self._python), program, *flags]

    def launch(self) -> Daemon:
        """Start it, and do not wait."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in clock_off_by(self._seconds).items()]
        self.home.mkdir(parents=True, exist_ok=True)
        self._python.write_text("\n".join(["#!/bin/sh", *exports, f'exec {shlex.quote(sys.executable)} "$@"', ""]))
        self._python.chmod(0o755)
        return super().launch()
