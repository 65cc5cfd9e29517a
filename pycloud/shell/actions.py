"""What each command does: ask through the client, print the answer, return the exit code.

Errors are raised, and turned into a message and an exit code where the line was read (``line.py``).
"""

from __future__ import annotations

import secrets
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from pycloud.client import Answer, output_of
from pycloud.client.errors import NoAnswer, RequestRefused
from pycloud.messages import CreateResponse, LogsResponse, RemoveResponse, StatusResponse
from pycloud.shell.context import Context
from pycloud.shell.exits import Exit, Interrupted, Leave, UsageProblem
from pycloud.shell.lookup import find_session, find_sessions, not_found
from pycloud.shell.render import Row, address, duration, row_of

#: As much of a session's id as is shown in hints: unique among thousands.
SHORT = 8

T = TypeVar("T")


def create(context: Context, args: Namespace) -> Exit:
    """Start a script as a session."""
    if args.file is None:
        raise UsageProblem(
            f"create needs a script: type `{context.prefix}create FILE`, "
            f"or `{context.prefix}create -` to give it on standard input"
        )
    script = _script(context, args.file)
    request = secrets.token_hex(10) if args.id is None else args.id
    began = time.monotonic()
    answer = _ask(context, "create", {"script": script, **({"env": dict(args.env)} if args.env else {})}, request)
    took = time.monotonic() - began
    created = _show(context, answer, CreateResponse)
    context.printer.table([row_of(created, time.time())] if context.printer.mode == "table" else [])
    where = address(created.host or "", created.port or None)
    context.printer.hint(
        f"Session {str(created.id)[:SHORT]} runs on {where}, started in {duration(took)}. "
        f"Next: {context.prefix}status {str(created.id)[:SHORT]}"
    )
    return Exit.DONE


def status(context: Context, args: Namespace) -> Exit:
    """Tell what has become of sessions: 0 when every one lives, 3 otherwise."""
    found = find_sessions(context.client, args.sessions)
    code, rows = _complain(context, found.missing), list[Row]()
    try:
        for session in found.ids:
            try:
                answer = _show(context, _ask(context, "status", {"session": session}), StatusResponse)
            except RequestRefused as error:
                code = max(code, _refused(context, session, error))
                continue
            rows.append(row_of(answer, time.time()))
            code = max(code, Exit.DONE if answer.status else Exit.NOT_FOUND)
    finally:
        context.printer.table(rows if context.printer.mode == "table" else [])
    return code


def remove(context: Context, args: Namespace) -> Exit:
    """End sessions and delete what is left of them."""
    found = find_sessions(context.client, args.sessions)
    code = _complain(context, found.missing)
    for session in found.ids:
        try:
            answer = _show(context, _ask(context, "remove", {"session": session}), RemoveResponse)
        except RequestRefused as error:
            code = max(code, _refused(context, session, error))
            continue
        if not answer.status:
            code = max(code, _complain(context, [session]))
        elif context.printer.mode == "table":
            context.printer.line(f"{session} removed")
    return code


def list_sessions(context: Context, args: Namespace) -> Exit:
    """List all sessions that Redis knows."""
    printer = context.printer
    if printer.mode == "ids":
        for session in context.client.session_ids():
            printer.line(session)
    elif printer.mode == "json":
        for record in context.client.sessions():
            printer.line(msgspec.json.encode(record))
    else:
        rows = [row_of(record, time.time()) for record in context.client.sessions()]
        printer.table(rows)
        if not rows:
            printer.hint(f"No sessions. Next: {context.prefix}create FILE")
    return Exit.DONE


def logs(context: Context, args: Namespace) -> Exit:
    """Print the newest output of a session, byte for byte."""
    session = find_session(context.client, args.session)
    answer = _ask(context, "logs", {"session": session})
    if context.printer.mode == "json":
        context.printer.line(answer.raw)
    response = msgspec.convert(answer.accepted().response, LogsResponse)
    if not response.status:
        raise not_found(session)
    if context.printer.mode != "json":
        context.printer.raw(output_of(response))
    return Exit.DONE


def show_help(context: Context, args: Namespace) -> Exit:
    """Print what can be typed."""
    context.printer.raw(context.help_text(args.topic).encode())
    return Exit.DONE


def leave(context: Context, args: Namespace) -> Exit:
    """Leave the prompt."""
    raise Leave


def _script(context: Context, file: str) -> str:
    data = context.read_stdin() if file == "-" else Path(file).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageProblem(
            f"{file} is no script: it is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from error


def _ask(context: Context, op: str, fields: dict[str, object], request: str | None = None) -> Answer:
    """One request; Ctrl-C stops the waiting, never the session."""
    try:
        return context.client.request(op, fields, id=request, timeout=context.timeout)
    except ValueError as error:
        raise UsageProblem(str(error)) from error
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped waiting; the request may still be carried out.{_repeat(request)}") from None
    except NoAnswer as error:
        raise NoAnswer(f"{error.message}{_repeat(request)}") from error


def _repeat(request: str | None) -> str:
    return f" To ask again without doing it twice: --id {request}" if request else ""


def _show(context: Context, answer: Answer, kind: type[T]) -> T:
    """Print an answer to a program; what is printed for people is up to the caller. Raises RequestRefused."""
    printer, session = context.printer, answer.response.id
    if printer.mode == "json":
        printer.line(answer.raw)
    accepted = answer.accepted().response
    if printer.mode == "ids" and session and (isinstance(accepted, CreateResponse) or accepted.status):
        printer.line(session)
    return msgspec.convert(accepted, kind)


def _complain(context: Context, missing: Sequence[str]) -> Exit:
    for word in missing:
        context.printer.complain(not_found(word).message)
    return Exit.NOT_FOUND if missing else Exit.DONE


def _refused(context: Context, session: str, error: RequestRefused) -> Exit:
    context.printer.complain(f"{session}: {error.message} ({error.code})")
    return Exit.REFUSED
