"""``logs -f``, ``-n`` and ``--since``: prints the output of a session piece by piece."""

from __future__ import annotations

from argparse import Namespace

from pycloud.client.errors import Unsettled
from pycloud.client.logs import Ended, LogItem, Output, Skipped
from pycloud.errors import PyCloudError
from pycloud.protocol.log_stream import encode_output
from pycloud.protocol.messages import StreamEnd, StreamMessage, StreamSkipped, encode
from pycloud.protocol.session import State
from pycloud.shell.base.command import ALL_LINES
from pycloud.shell.base.context import Context, retrying
from pycloud.shell.terminal.exit_codes import ExitCode, Interrupted
from pycloud.shell.terminal.output import format_size


def stream_logs(context: Context, session: str, args: Namespace) -> ExitCode:
    """Print the output of a session, selected by ``lines`` and ``since`` in ``args``; with ``follow``, until it ends.

    Raises Interrupted on Ctrl-C.
    """
    try:
        return _print_stream(context, session, args)
    except KeyboardInterrupt:
        raise Interrupted("Stopped following; the session keeps running.") from None


def to_stream_message(item: LogItem) -> StreamMessage:
    """The message of the protocol that carries this item, for the JSON output (docs/protocol.md)."""
    if isinstance(item, Output):
        return encode_output(item.offset, item.data)
    if isinstance(item, Skipped):
        return StreamSkipped(item.offset, item.size)
    exit_fields = {"exit_code": item.exit_code} if item.state == State.EXITED else {}
    reason_fields = {"reason": item.reason} if item.reason else {}
    return StreamEnd(item.offset, item.state, **exit_fields, **reason_fields)  # type: ignore[arg-type]


def _print_stream(context: Context, session: str, args: Namespace) -> ExitCode:
    from_start = args.lines == ALL_LINES and args.since is None
    items = context.client.follow_logs(
        session,
        offset=0 if from_start else None,
        lines=None if args.lines == ALL_LINES else args.lines,
        since=args.since,
        follow=args.follow,
        timeout=context.timeout,
        on_loss=lambda error: _print_notice(context, error),
    )
    with items:
        for item in items:
            _print_item(context, session, item)
            if args.follow:
                context.printer.out.flush()
    return ExitCode.DONE


def _print_item(context: Context, session: str, item: LogItem) -> None:
    printer = context.printer
    if printer.mode == "json":
        printer.line(encode(to_stream_message(item)))
    elif isinstance(item, Output):
        printer.raw(item.data)
    elif isinstance(item, Skipped):
        printer.notice(f"[{'some output' if item.size is None else format_size(item.size)} skipped]")
    elif item.state not in (State.RUNNING, State.STARTING):
        printer.hint(f"Session {session} {_end_text(item)}.")


def _end_text(end: Ended) -> str:
    if end.state == State.EXITED and end.exit_code is not None:
        return f"has exited with code {end.exit_code}"
    return f"is {end.state}{f': {end.reason}' if end.reason else ''}"


def _print_notice(context: Context, error: PyCloudError | None) -> None:
    """Report once that Redis or the session's node is lost or back."""
    if error is None:
        context.printer.notice("Following the log again.")
    else:
        reason = error.reason if isinstance(error, Unsettled) else error.message
        context.printer.notice(retrying(reason))
