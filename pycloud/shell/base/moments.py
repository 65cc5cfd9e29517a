"""Points in time as people type them. Pure."""

from __future__ import annotations

import argparse
import re
from datetime import datetime

TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AGO_PATTERN = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)


def parse_time(text: str, now: float) -> float:
    """Unix seconds: of so long ago (``10m``), of a date (with the time or without, local unless it names a zone), or as
    they are.

    Raises ArgumentTypeError for anything else.
    """
    if found := AGO_PATTERN.fullmatch(text):
        return now - float(found[1]) * TIME_UNITS[found[2]]
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text, re.ASCII):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        reason = f"{text!r} is no time; there are 90s, 10m, 2h, 1d (ago), dates (2026-01-31T18:00) and Unix seconds"
        raise argparse.ArgumentTypeError(reason) from None
