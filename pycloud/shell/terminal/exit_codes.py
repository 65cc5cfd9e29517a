"""How a command can end: its exit code, and the errors that only the shell knows.

The codes are part of the interface (``pycloudctl help``): scripts rely on them. Pure.
"""

from __future__ import annotations

from enum import IntEnum

from pycloud.client.errors import NoAnswer, NoCloud, NotEnded, NotFound, RequestRefused
from pycloud.errors import ConfigError, PyCloudError, RedisUnavailable


class ExitCode(IntEnum):
    """What a program that called pycloudctl learns from it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REJECTED = 4
    REDIS_UNAVAILABLE = 69
    NO_ANSWER = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141


#: In words, for help and the man page.
EXIT_CODE_MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "usage",
    ExitCode.NOT_FOUND: "not found or not alive",
    ExitCode.REJECTED: "refused",
    ExitCode.REDIS_UNAVAILABLE: "Redis unreachable",
    ExitCode.NO_ANSWER: "nobody answered",
    ExitCode.INTERRUPTED: "Ctrl-C",
    ExitCode.BROKEN_PIPE: "nobody reads the output",
}


class UsageError(PyCloudError):
    """What was typed cannot be carried out as it stands."""


class Interrupted(PyCloudError):
    """Ctrl-C while an answer was awaited."""


class ExitPrompt(Exception):
    """The user wants to leave the prompt."""


_CODE_BY_ERROR: tuple[tuple[type[PyCloudError], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (ConfigError, ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (RequestRefused, ExitCode.REJECTED),
    (RedisUnavailable, ExitCode.REDIS_UNAVAILABLE),
    (NoCloud, ExitCode.NO_ANSWER),
    (NoAnswer, ExitCode.NO_ANSWER),
    (NotEnded, ExitCode.NO_ANSWER),
    (Interrupted, ExitCode.INTERRUPTED),
)


def exit_code_for(error: PyCloudError) -> ExitCode:
    """The exit code for an error."""
    return next((code for kind, code in _CODE_BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
