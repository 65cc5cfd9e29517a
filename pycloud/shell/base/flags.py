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
    """Parse a point in time into Unix seconds: an age before ``now`` (``10m``), an ISO 8601 date with or without a time
    (local time unless it has a zone), or Unix seconds.

    Raises ArgumentTypeError for any other text.
    """
    if found := AGO_PATTERN.fullmatch(text):
        return now - float(found[1]) * TIME_UNITS[found[2]]
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text, re.ASCII):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        reason = f"{text!r} is not a time: give an age (90s, 10m, 2h, 1d), a date (2026-01-31T18:00) or Unix seconds"
        raise argparse.ArgumentTypeError(reason) from None


#: Sort orders for sessions (``--sort``).
SORT_ORDERS = ("created", "state", "host", "cloud", "name")


def seconds(text: str) -> float:
    """Parse a timeout in seconds. Raises ArgumentTypeError unless it is above 0 and at most ``MAX_TIMEOUT``."""
    try:
        return validate_timeout(float(text))
    except ValueError:
        reason = f"{text!r} is not a number of seconds above 0 and at most {MAX_TIMEOUT:.0f}"
        raise argparse.ArgumentTypeError(reason) from None


def since(text: str) -> float:
    """Parse a point in time into Unix seconds; see ``parse_time``."""
    return parse_time(text, time.time())


def labels_of(pairs: Sequence[tuple[str, str]] | None) -> dict[str, str]:
    """The values of ``--label`` by key. Raises UsageError where a key has two different values."""
    labels = dict(pairs or ())
    for key, value in pairs or ():
        if labels[key] != value:
            raise UsageError(f"--label {key} is given twice, as {value!r} and {labels[key]!r}")
    return labels


#: Flags that select Redis and namespace, accepted before and after every command.
CONNECTION_FLAGS = (
    argument("--redis", metavar="URL", help="the Redis that the nodes use (PYCLOUD_REDIS_URL)"),
    argument("--namespace", metavar="NAME", help="prefix of all channels and keys (PYCLOUD_NAMESPACE)"),
    argument("--config", metavar="FILE", kind="file", help="settings file with redis and namespace (PYCLOUD_CONFIG)"),
)
#: The other flags accepted before and after every command.
COMMON_FLAGS = (
    argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help=f"timeout of a request in seconds (default: {DEFAULT_TIMEOUT:g}, remove: {REMOVE_TIMEOUT:g})",
    ),
    argument("-o", "--output", choices=MODES, help="output format: table for people, json or ids for programs"),
    argument("--no-color", action="store_true", help="no colours, as with NO_COLOR or TERM=dumb"),
)
