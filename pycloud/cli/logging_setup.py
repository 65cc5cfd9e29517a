"""Destination and format of the daemon's log. Called by entry points only; all other modules just log."""

from __future__ import annotations

import logging
import sys
from logging.handlers import WatchedFileHandler
from pathlib import Path

from pycloud.errors import PyCloudError

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def set_up(level: str, file: Path | None) -> logging.Handler:
    """Log to ``file`` (standard error when None) from ``level`` up; replaces all handlers that were set up before.

    The file is reopened when it was moved or deleted, as logrotate does. Returns the handler. Raises PyCloudError where
    the file cannot be written.
    """
    handler = _handler(file)
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    return handler


def _handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return WatchedFileHandler(file, encoding="utf-8")
    except OSError as error:
        raise PyCloudError(f"cannot write the log file {file}: {error.strerror}") from error
