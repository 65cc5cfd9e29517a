"""``wait``: returns when a session has ended, with its exit code."""

from __future__ import annotations

import time
from argparse import Namespace

from pycloud.protocol.messages import StatusResponse, encode
from pycloud.protocol.session import State
from pycloud.shell.base.context import Context
from pycloud.shell.base.lookup import find_session
from pycloud.shell.terminal.exit_codes import ExitCode, Interrupted
from pycloud.shell.terminal.output import session_row

MAX_EXIT_CODE = 255


def wait(context: Context, args: Namespace) -> int:
    """Wait for the end of a session; returns its exit code, or that of ``exit_code_of``."""
    session = find_session(context.client, args.session)
    try:
        response = context.client.wait(session, timeout=context.timeout)
    except KeyboardInterrupt:
        raise Interrupted("Stopped waiting; the session keeps running.") from None
    printer = context.printer
    if printer.mode == "json":
        printer.line(encode(response))
    elif printer.mode == "ids":
        printer.line(session)
    else:
        printer.table([session_row(response, time.time())])
    code, message = exit_code_of(response)
    if message:
        printer.error(f"session {session} {message}")
    return code


def exit_code_of(response: StatusResponse) -> tuple[int, str]:
    """The exit code for a session that is not live any more, and a message where the session has no usable one."""
    code, reason = response.exit_code, f": {response.reason}" if response.reason else ""
    if response.state == State.EXITED:
        if isinstance(code, int) and 0 <= code <= MAX_EXIT_CODE:
            return code, ""
        return ExitCode.FAILED, f"has ended, and its exit code is unknown{reason}"
    if response.state == State.FAILED:
        return ExitCode.FAILED, f"never ran{reason}"
    if response.state == State.LOST:
        return ExitCode.NO_ANSWER, "is lost, because its node is offline; wait again when the node is back"
    return ExitCode.NOT_FOUND, "is unknown: it was removed, or its record has expired"
