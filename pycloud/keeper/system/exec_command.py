"""Converts a script into a command, and a user name into ids.

May touch: the system's user database (reading).
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

SHELL = "/bin/sh"


class StartError(Exception):
    """A session cannot be started; the text is the reason. ``retryable``: a retry may succeed soon."""

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class UserIds:
    """The user that a session runs as: uid, gid and supplementary groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def command_for(script: str, path: str) -> list[str]:
    """Return the command that runs ``script``, which is stored at ``path``. Raises StartError.

    The ``#!`` line is parsed here as Linux does (an interpreter and at most one argument, the rest of the line), so
    that neither a file system mounted noexec nor a file still open for writing matters. Without such a line: /bin/sh.
    """
    first = script.partition("\n")[0]
    if not first.startswith("#!"):
        return [SHELL, path]
    if first.endswith("\r"):
        raise StartError("the script's first line ends in CRLF (Windows line ends); save it with plain line feeds (LF)")
    interpreter, _, argument = first[2:].strip(" \t").replace("\t", " ").partition(" ")
    if not interpreter:
        return [SHELL, path]
    if not interpreter.startswith("/"):
        raise StartError(
            f"cannot start {interpreter} (named in the script's first line): "
            f"not a full path; write #!/usr/bin/env {interpreter}"
        )
    argument = first[2:].strip(" \t")[len(interpreter) :].strip(" \t")
    return [interpreter, *([argument] if argument else []), path]


def user_ids_of(user: str | None) -> UserIds | None:
    """Return the ids of ``user``; None when sessions run as this process's user. Raises StartError."""
    if user is None:
        return None
    try:
        account = pwd.getpwnam(user)
    except KeyError as error:
        raise StartError(f"cannot run as {user!r}: this host has no such user") from error
    if os.geteuid() == account.pw_uid:
        return None
    if os.geteuid() != 0:
        raise StartError(f"cannot run as {user!r}: only a node that runs as root can change users")
    groups = os.getgrouplist(user, account.pw_gid)
    return UserIds(account.pw_uid, account.pw_gid, tuple(groups))
