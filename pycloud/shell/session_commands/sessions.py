"""``create``, ``status``, ``logs`` and the removal of one session: send requests, print the responses.

Each command returns its exit code. Errors are raised; ``Runner`` (``dispatch/runner.py``) converts them to a message
and an exit code.
"""

from __future__ import annotations

import secrets
import shlex
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from pycloud.client.errors import NoAnswer, NoCloud, NotFound, RequestRefused, Unsettled, UnusableAnswer
from pycloud.client.request import MAX_SCRIPT_BYTES, Answer, output_of, validate_script
from pycloud.errors import PyCloudError
from pycloud.protocol.messages import CreateResponse, Event, LogsResponse, RemoveResponse, StatusResponse
from pycloud.shell.base.command import ALL_LINES
from pycloud.shell.base.context import Context
from pycloud.shell.base.flags import labels_of
from pycloud.shell.base.lookup import find_session, find_sessions, not_found
from pycloud.shell.terminal.exit_codes import ExitCode, Interrupted, UsageError, exit_code_for
from pycloud.shell.terminal.output import SHORT_ID_LENGTH, Row, address, duration, session_row

#: Errors with one session that do not affect the others.
CONTINUE_ON = (RequestRefused, NotFound, NoAnswer, NoCloud, UnusableAnswer)

T = TypeVar("T")


def create(context: Context, args: Namespace) -> ExitCode:
    """Start a script as a session, or several with ``args.count``."""
    script = _script(context, args.file)
    options = {
        "env": args.env and dict(args.env),
        "where": args.where and dict(args.where),
        "cloud": args.cloud and _find_node(context, args.cloud),
        "runtime": args.runtime,
        "name": args.name,
        "labels": labels_of(args.label) or None,
    }
    fields = {"script": script, **{name: value for name, value in options.items() if value is not None}}
    if args.count > 1:
        return _create_many(context, fields, args)
    started_at = time.monotonic()
    answer = _send_request(context, "create", fields, _request_id(args))
    elapsed = time.monotonic() - started_at
    created = _print_answer(context, answer, CreateResponse)
    in_words = context.printer.mode == "table" and not args.follow
    context.printer.table([session_row(created, time.time(), args.name)] if in_words else [])
    where = address(created.host or "", created.port or None)
    short = args.name or str(created.id)[:SHORT_ID_LENGTH]
    message = f"Session {short} runs on {where}, started in {duration(elapsed)}."
    if args.follow:
        context.printer.notice(message)
        return _follow_log(context, str(created.id))
    context.printer.hint(f"{message} Next: {context.prefix}status {short}")
    return ExitCode.DONE


def _create_many(context: Context, fields: Mapping[str, object], args: Namespace) -> ExitCode:
    """Start ``args.count`` equal sessions. Raises UsageError for flags that apply to a single session."""
    from pycloud.shell.session_commands.create_many import create_many

    if args.follow:
        raise UsageError("--follow shows one log, so it cannot be combined with --count")
    if args.id is not None:
        raise UsageError("--id identifies one request, so it cannot be combined with --count")
    if args.name is not None:
        raise UsageError("--name is for one session, so it cannot be combined with --count; use --label")
    return create_many(context, fields, args.count)


def _find_node(context: Context, word: str) -> str:
    from pycloud.shell.base.lookup import find_nodes  # seldom needed: most creates leave the placement to the nodes

    return find_nodes(context.client, [word])[0]


def _follow_log(context: Context, session: str) -> ExitCode:
    """Print all output of a session that was just started, until it ends."""
    from pycloud.shell.session_commands.logs import stream_logs

    context.printer.out.flush()
    return stream_logs(context, session, Namespace(lines=ALL_LINES, since=None, follow=True))


def status(context: Context, args: Namespace) -> ExitCode:
    """Print the status of sessions. Returns the worst exit code: 0 for a live session, 3 for any other."""
    if args.follow:
        from pycloud.shell.session_commands.list import follow_sessions

        return follow_sessions(context, _find_all(context, args.sessions))
    rows: list[Row] = []

    def show_one(session: str) -> ExitCode:
        response = _print_answer(context, _send_request(context, "status", {"session": session}), StatusResponse)
        rows.append(session_row(response, time.time()))
        return ExitCode.DONE if response.status else ExitCode.NOT_FOUND

    try:
        return _for_each_session(context, args.sessions, show_one)
    finally:
        context.printer.table(rows if context.printer.mode == "table" else [])


def remove_one(context: Context, session: str, args: Namespace) -> ExitCode:
    """End a session and delete its data; ``session`` is a full id. Returns the exit code."""
    try:
        show_removal(context, session, _send_request(context, "remove", {"session": session}, _request_id(args)))
    except CONTINUE_ON as error:
        return report_error(context, session, error)
    return ExitCode.DONE


def show_removal(context: Context, session: str, answer: Answer, *, in_words: bool = True) -> None:
    """Print the result of a remove. Raises RequestRefused, and NotFound where there was no such session."""
    if not _print_answer(context, answer, RemoveResponse).status:
        raise not_found(session)
    if in_words and context.printer.mode == "table":
        context.printer.line(f"{session} removed")


def logs(context: Context, args: Namespace) -> ExitCode:
    """Print the newest output of a session, byte for byte; with ``-f``, ``-n`` or ``--since`` see ``logs.py``."""
    session = find_session(context.client, args.session)
    if args.follow or args.lines is not None or args.since is not None:
        from pycloud.shell.session_commands.logs import stream_logs  # not needed by the other commands

        return stream_logs(context, session, args)
    answer = _send_request(context, "logs", {"session": session})
    if context.printer.mode == "json":
        context.printer.line(answer.raw)
    response = msgspec.convert(answer.raise_for_error().response, LogsResponse)
    if not response.status:
        raise not_found(session)
    if context.printer.mode != "json":
        context.printer.raw(output_of(response))
    return ExitCode.DONE


def _find_all(context: Context, words: Sequence[str]) -> list[str]:
    """The ids of the sessions that ``words`` match. Raises NotFound where one matches none."""
    found = find_sessions(context.client, words)
    if found.missing:
        raise found.errors[found.missing[0]]
    return found.ids


def _for_each_session(context: Context, words: Sequence[str], action: Callable[[str], ExitCode]) -> ExitCode:
    """Call ``action`` for each session that ``words`` match, also after failures; returns the worst exit code.

    An error that would affect the other sessions too is raised: Ctrl-C, or an outage of Redis.
    """
    found = find_sessions(context.client, words)
    codes = [ExitCode.DONE]
    for word in found.missing:
        codes.append(report_error(context, word, found.errors[word]))
    for session in found.ids:
        try:
            codes.append(action(session))
        except CONTINUE_ON as error:
            codes.append(report_error(context, session, error))
    return max(codes)


def report_error(context: Context, session: str, error: PyCloudError) -> ExitCode:
    """Print the error of one session among several; returns its exit code."""
    if isinstance(error, NotFound):
        text = error.message
    elif isinstance(error, RequestRefused):
        text = f"{session}: {error.message} ({error.code})"
    else:
        text = f"{session}: {error.message}"
    context.printer.error(text)
    return exit_code_for(error)


def _script(context: Context, file: str | None) -> str:
    data = (
        _from_editor(context)
        if file is None
        else context.read_stdin()
        if file == "-"
        else _read_script(_path(context, file))
    )
    validate_script(data)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not a script: it is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from error


def _from_editor(context: Context) -> bytes:
    """The script typed in the editor. Raises UsageError where there is no prompt."""
    if context.prompt_state is not None:
        return context.prompt_state.edit()
    raise UsageError(
        f"create needs a script: type `{context.prefix}create FILE`, "
        f"or `{context.prefix}create -` to read it from standard input"
    )


def _path(context: Context, file: str) -> Path:
    """``file`` as a path. ``~`` is expanded only where no shell has done so (at the prompt). Raises UsageError."""
    if context.prefix:
        return Path(file)
    try:
        return Path(file).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{file}: there is no such home directory") from error


def _read_script(path: Path) -> bytes:
    """Read at most one byte more than a script may have, so that a file that is too large is detected."""
    with path.open("rb") as stream:
        return stream.read(MAX_SCRIPT_BYTES + 1)


def _request_id(args: Namespace) -> str:
    return secrets.token_hex(10) if args.id is None else str(args.id)


def _send_request(context: Context, op: str, fields: dict[str, object], request_id: str | None = None) -> Answer:
    """Send a request and wait for its response. ``request_id``: where given, errors say how to repeat it safely.

    Raises UsageError for invalid fields, and Interrupted on Ctrl-C, which ends only the waiting, not the session.
    """
    repeat_hint = f" To repeat the request safely, use --id {shlex.quote(request_id)}" if request_id else ""
    try:
        return context.client.request(
            op,
            fields,
            id=request_id,
            timeout=context.timeout,
            on_progress=lambda event: _print_progress(context, event),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped waiting; the request may still be carried out.{repeat_hint}") from None
    except Unsettled as error:
        error.message = f"{error.reason}.{repeat_hint}" if repeat_hint else error.reason
        raise


def _print_progress(context: Context, event: Event) -> None:
    """Print the progress of an image pull, which can take minutes."""
    done = f" ({event.done:.0%})" if event.done else ""
    context.printer.hint(f"Pulling {event.image or 'an image'}: {event.progress or 'started'}{done}")


def _print_answer(context: Context, answer: Answer, kind: type[T]) -> T:
    """Print a response in the modes ``json`` and ``ids``, and return it as ``kind``; the caller prints for users.

    Raises RequestRefused.
    """
    printer, session = context.printer, answer.response.id
    if session and context.prompt_state is not None:
        context.prompt_state.own_changes.add(session)
    if printer.mode == "json":
        printer.line(answer.raw)
    accepted = answer.raise_for_error().response
    if printer.mode == "ids" and session and (isinstance(accepted, CreateResponse) or accepted.status):
        printer.line(session)
    return msgspec.convert(accepted, kind)
