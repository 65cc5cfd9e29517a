"""``wait``: returns when a session has ended, with its exit code."""

from __future__ import annotations

import time
from argparse import Namespace

from pycloud.protocol.messages import StatusResponse, encode
from pycloud.protocol.session import State
from pycloud.shell.base.context import Context
from pycloud.shell.base.lookup import find_session
from pycloud.shell.terminal.exit_codes import Exit, Interrupted
from pycloud.shell.terminal.output import row_of

HIGHEST = 255


def wait(context: Context, args: Namespace) -> int:
    """Wait for the end of a session; its exit code."""
    session = find_session(context.client, args.session)
    try:
        answer = context.client.wait(session, timeout=context.timeout)
    except KeyboardInterrupt:
        raise Interrupted("Stopped waiting; the session goes on.") from None
    printer = context.printer
    if printer.mode == "json":
        printer.line(encode(answer))
    elif printer.mode == "ids":
        printer.line(session)
    else:
        printer.table([row_of(answer, time.time())])
    code, said = outcome(answer)
    if said:
        printer.complain(f"session {session} {said}")
    return code


def outcome(answer: StatusResponse) -> tuple[int, str]:
    """The exit code for a session that lives no more, and what is to be said where that is not its own."""
    code, reason = answer.exit_code, f": {answer.reason}" if answer.reason else ""
    if answer.state == State.EXITED:
        if isinstance(code, int) and 0 <= code <= HIGHEST:
            return code, ""
        return Exit.FAILED, f"has ended, and nobody can know its exit code{reason}"
    if answer.state == State.FAILED:
        return Exit.FAILED, f"never ran{reason}"
    if answer.state == State.LOST:
        return Exit.NO_ANSWER, "is lost: its cloud is away, and may come back with it; then wait again"
    return Exit.NOT_FOUND, "is not known (any more): it was removed, or is long over"
