"""Exit codes of commands, and the errors that only the shell raises.

The codes are part of the interface (``pycloudctl help``): scripts rely on them. Pure.
"""

from __future__ import annotations

from enum import IntEnum

from pycloud.client.errors import NoAnswer, NoCloud, NotEnded, NotFound, RequestRefused
from pycloud.errors import ConfigError, PyCloudError, RedisUnavailable


class ExitCode(IntEnum):
    """Exit codes of pycloudctl. Of several results in one command, the greatest counts (the worst)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REJECTED = 4
    REDIS_UNAVAILABLE = 69
    NO_ANSWER = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141


#: Text for each exit code, for help and the manual page.
EXIT_CODE_MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "usage error",
    ExitCode.NOT_FOUND: "not found or not alive",
    ExitCode.REJECTED: "refused",
    ExitCode.REDIS_UNAVAILABLE: "Redis unreachable",
    ExitCode.NO_ANSWER: "no response in time",
    ExitCode.INTERRUPTED: "Ctrl-C",
    ExitCode.BROKEN_PIPE: "output closed",
}


class UsageError(PyCloudError):
    """The command line is invalid, or cannot be executed in this place."""


class Interrupted(PyCloudError):
    """The user cancelled a command, e.g. with Ctrl-C while it waited for a response."""


class ExitPrompt(Exception):
    """Raised by ``exit`` to leave the prompt."""


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
    """The exit code for ``error``; FAILED where its type has none of its own."""
    return next((code for kind, code in _CODE_BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
