"""Flags that several commands take, and the types of their values."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from datetime import datetime

from pycloud.client.client import DEFAULT_TIMEOUT, REMOVE_TIMEOUT
from pycloud.client.request import MAX_TIMEOUT, validate_timeout
from pycloud.shell.base.command import argument
from pycloud.shell.terminal.exit_codes import UsageError
from pycloud.shell.terminal.output import MODES

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


#: What sessions may be sorted by.
SORT_ORDERS = ("created", "state", "host", "cloud", "name")


def seconds(text: str) -> float:
    """How long a request may take."""
    try:
        return validate_timeout(float(text))
    except ValueError:
        reason = f"{text!r} is no number of seconds above 0 and at most {MAX_TIMEOUT:.0f}"
        raise argparse.ArgumentTypeError(reason) from None


def since(text: str) -> float:
    """A point in time, as Unix seconds."""
    return parse_time(text, time.time())


def labels_of(pairs: Sequence[tuple[str, str]] | None) -> dict[str, str]:
    """What was given as ``--label``, each key once. Raises UsageProblem where one is given two values."""
    labels = dict(pairs or ())
    for key, value in pairs or ():
        if labels[key] != value:
            raise UsageError(f"--label {key} is given twice, as {value!r} and {labels[key]!r}")
    return labels


#: Flags that say which clouds to talk to, taken before and after every command.
CONNECTION_FLAGS = (
    argument("--redis", metavar="URL", help="the Redis of the clouds (PYCLOUD_REDIS_URL)"),
    argument("--namespace", metavar="NAME", help="prefix of all channels and keys (PYCLOUD_NAMESPACE)"),
    argument("--config", metavar="FILE", kind="file", help="where to look for redis and namespace (PYCLOUD_CONFIG)"),
)
#: What else is taken everywhere.
COMMON_FLAGS = (
    argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help=f"how long a request may take (default: {DEFAULT_TIMEOUT:g}, remove: {REMOVE_TIMEOUT:g})",
    ),
    argument("-o", "--output", choices=MODES, help="table for people, json or bare ids for programs"),
    argument("--no-color", action="store_true", help="no colours; NO_COLOR and TERM=dumb say the same"),
)
