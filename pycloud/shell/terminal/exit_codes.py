"""How a command can end: its exit code, and the errors that only the shell knows.

The codes are part of the interface (``pycloudctl help``): scripts rely on them. Pure.
"""

from __future__ import annotations

from enum import IntEnum

from pycloud.client.errors import NoAnswer, NoCloud, NotEnded, NotFound, RequestRefused
from pycloud.errors import ConfigError, PyCloudError, RedisUnavailable


class Exit(IntEnum):
    """What a program that called pycloudctl learns from it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    REDIS = 69
    NO_ANSWER = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141


#: In words, for help and the man page.
MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "usage",
    Exit.NOT_FOUND: "not found or not alive",
    Exit.REFUSED: "refused",
    Exit.REDIS: "Redis unreachable",
    Exit.NO_ANSWER: "nobody answered",
    Exit.INTERRUPTED: "Ctrl-C",
    Exit.BROKEN_PIPE: "nobody reads the output",
}


class UsageProblem(PyCloudError):
    """What was typed cannot be carried out as it stands."""


class Interrupted(PyCloudError):
    """Ctrl-C while an answer was awaited."""


class Leave(Exception):
    """The user wants to leave the prompt."""


_CODES: tuple[tuple[type[PyCloudError], Exit], ...] = (
    (UsageProblem, Exit.USAGE),
    (ConfigError, Exit.USAGE),
    (NotFound, Exit.NOT_FOUND),
    (RequestRefused, Exit.REFUSED),
    (RedisUnavailable, Exit.REDIS),
    (NoCloud, Exit.NO_ANSWER),
    (NoAnswer, Exit.NO_ANSWER),
    (NotEnded, Exit.NO_ANSWER),
    (Interrupted, Exit.INTERRUPTED),
)


def code_of(error: PyCloudError) -> Exit:
    """The exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
