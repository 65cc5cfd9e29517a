"""``logs -f``, ``-n`` and ``--since``: what a session wrote and writes, piece by piece."""

from __future__ import annotations

from argparse import Namespace

from pycloud.client.errors import Unsettled
from pycloud.client.progress import Ended, Followed, Output, Skipped
from pycloud.errors import PyCloudError
from pycloud.protocol.log_stream import StreamEnd, StreamMessage, StreamSkipped, output
from pycloud.protocol.messages import encode
from pycloud.protocol.session import State
from pycloud.shell.base.command import ALL
from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import Exit, Interrupted


def stream(context: Context, session: str, args: Namespace) -> Exit:
    """Print the output of a session piece by piece, as ``args`` say; with ``follow`` until the session ends."""
    try:
        return _stream(context, session, args)
    except KeyboardInterrupt:
        raise Interrupted("Stopped following; the session goes on.") from None


def amount(size: int) -> str:
    """Bytes for people, e.g. ``12.3 MB``."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_:
            return f"{size / bytes_:.1f} {unit}"
    return f"{size} bytes"


def described(piece: Followed) -> StreamMessage:
    """What is printed for a program: the message that told of it (docs/protocol.md)."""
    if isinstance(piece, Output):
        return output(piece.offset, piece.data)
    if isinstance(piece, Skipped):
        return StreamSkipped(piece.offset, piece.size)
    how = {"exit_code": piece.exit_code} if piece.state == State.EXITED else {}
    why = {"reason": piece.reason} if piece.reason else {}
    return StreamEnd(piece.offset, piece.state, **how, **why)  # type: ignore[arg-type]


def _stream(context: Context, session: str, args: Namespace) -> Exit:
    everything = args.lines == ALL and args.since is None
    pieces = context.client.follow_logs(
        session,
        offset=0 if everything else None,
        lines=None if args.lines == ALL else args.lines,
        since=args.since,
        follow=args.follow,
        timeout=context.timeout,
        on_loss=lambda error: _say(context, error),
    )
    with pieces:
        for piece in pieces:
            _show(context, session, piece)
            if args.follow:
                context.printer.out.flush()
    return Exit.DONE


def _show(context: Context, session: str, piece: Followed) -> None:
    printer = context.printer
    if printer.mode == "json":
        printer.line(encode(described(piece)))
    elif isinstance(piece, Output):
        printer.raw(piece.data)
    elif isinstance(piece, Skipped):
        printer.say(f"[{'some output' if piece.size is None else amount(piece.size)} skipped]")
    elif piece.state not in (State.RUNNING, State.STARTING):
        printer.hint(f"Session {session} {_how(piece)}.")


def _how(end: Ended) -> str:
    if end.state == State.EXITED and end.exit_code is not None:
        return f"has exited with {end.exit_code}"
    return f"is {end.state}{f': {end.reason}' if end.reason else ''}"


def _say(context: Context, error: PyCloudError | None) -> None:
    """Redis, or the session's cloud, is lost or back: to be said once."""
    if error is None:
        context.printer.say("Following again.")
    else:
        reason = error.reason if isinstance(error, Unsettled) else error.message
        context.printer.say(f"{reason}; going on as soon as that is possible.")
