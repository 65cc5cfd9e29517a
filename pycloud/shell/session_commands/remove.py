"""``remove``: ends sessions and deletes their data, several concurrently; confirms first where there are several."""

from __future__ import annotations

import threading
from argparse import Namespace
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from pycloud.client import SessionRecord
from pycloud.client.errors import Unsettled
from pycloud.client.request import Answer
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import RemoveResponse
from pycloud.shell.base.confirm import MAX_SHOWN, confirmed
from pycloud.shell.base.context import Context, pending_requests_text
from pycloud.shell.base.flags import labels_of
from pycloud.shell.base.lookup import FoundSessions, find_nodes, find_sessions
from pycloud.shell.session_commands.sessions import remove_one, report_error, show_removal
from pycloud.shell.terminal.exit_codes import ExitCode, Interrupted, UsageError
from pycloud.shell.terminal.output import NO_SESSIONS_MATCH
from pycloud.shell.terminal.progress_bar import ProgressBar

#: Maximum number of concurrent requests. Each mostly waits for processes to end; more would only load the nodes.
MAX_CONCURRENT = 8
#: Maximum number of sessions whose removal is printed individually on a terminal.
MAX_NAMED = 10


def remove(context: Context, args: Namespace) -> ExitCode:
    """End sessions and delete their data; returns the worst exit code, or FAILED where the user does not confirm.

    Raises UsageError for contradictory arguments.
    """
    found = _select(context, args)
    if args.id is not None and len(found.ids) != 1:
        raise UsageError("--id identifies one request, for one session only: remove the sessions one by one")
    codes = [report_error(context, word, found.errors[word]) for word in found.missing]
    if not found.ids:
        if not codes:
            context.printer.notice(f"{NO_SESSIONS_MATCH} Nothing was removed.")
        return max(codes, default=ExitCode.DONE)
    if len(found.ids) == 1:
        return max([*codes, remove_one(context, found.ids[0], args)])
    if not (args.yes or _confirmed(context, found.ids)):
        context.printer.notice("Nothing was removed.")
        return ExitCode.FAILED
    return max([*codes, RemovalBatch(context, found.ids).run()])


def _select(context: Context, args: Namespace) -> FoundSessions:
    """The sessions to remove: those in ``args.sessions``, or all that match every selector (labels, nodes)."""
    has_selector = args.all or args.label or args.cloud
    if args.sessions and has_selector:
        raise UsageError("give either sessions or a selection (--all, --label, --cloud)")
    if args.sessions:
        return find_sessions(context.client, args.sessions)
    if not has_selector:
        raise UsageError(
            f"remove needs sessions: type `{context.prefix}remove SESSION`, or use --label, --cloud or --all"
        )
    nodes = find_nodes(context.client, args.cloud or ())
    if labels := labels_of(args.label):
        return FoundSessions([record.id for record in context.client.sessions(clouds=nodes, labels=labels)])
    return FoundSessions(list(context.client.session_ids(clouds=nodes)))


def _confirmed(context: Context, sessions: Sequence[str]) -> bool:
    """Whether the user confirms the removal, after a list of the first sessions."""
    first = sessions[:MAX_SHOWN]
    known = {record.id: _session_text(record) for record in context.client.records(first)}
    lines = [known.get(session, session) for session in first]
    return confirmed(context, f"Remove {len(sessions)} sessions?", lines, len(sessions))


def _session_text(record: SessionRecord) -> str:
    return "  ".join(word for word in (record.id, record.name or "", record.state) if word)


def _is_removal(result: Answer | Exception) -> bool:
    """Whether the result is the successful removal of a session."""
    return isinstance(result, Answer) and isinstance(result.response, RemoveResponse) and result.response.status


class RemovalBatch:
    """Many removals, ``MAX_CONCURRENT`` at a time.

    The threads only send requests; the main thread, in ``run``, prints the results, and is the one that Ctrl-C
    interrupts. It does not wait for the threads then: each may be waiting for a session that ends slowly.
    """

    def __init__(self, context: Context, sessions: Sequence[str]) -> None:
        self._context, self._total = context, len(sessions)
        self._queue: SimpleQueue[str] = SimpleQueue()
        for session in sessions:
            self._queue.put(session)
        self._results: SimpleQueue[tuple[str, Answer | Exception]] = SimpleQueue()
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._started = self._finished = self._removed = 0
        self._names_each = self._total <= MAX_NAMED or not context.printer.interactive
        self._progress = ProgressBar(context.printer, "Removed", self._total)

    def run(self) -> ExitCode:
        """Remove all; returns the worst exit code. Raises Interrupted on Ctrl-C, and RedisUnavailable at once."""
        for _ in range(min(MAX_CONCURRENT, self._total)):
            threading.Thread(target=self._work, daemon=True).start()
        codes = [ExitCode.DONE]
        try:
            while self._finished < self._total:
                session, result = self._results.get()
                # Counted before it is printed: Ctrl-C may come between any two steps.
                self._removed += _is_removal(result)
                self._finished += 1
                codes.append(self._report_result(session, result))
                if not self._names_each:
                    self._progress.show(self._removed)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped. {self._summary()}{self._unfinished_summary()}") from None
        except RedisUnavailable:
            self._progress.clear()
            self._context.printer.notice(self._summary() + self._unfinished_summary())
            raise
        finally:
            self._stop.set()
            self._progress.clear()
        self._context.printer.notice(self._summary())
        return max(codes)

    def _work(self) -> None:
        context = self._context
        while not self._stop.is_set():
            try:
                session = self._queue.get_nowait()
            except Empty:
                return
            with self._lock:
                self._started += 1
            try:
                result: Answer | Exception = context.client.request(
                    "remove", {"session": session}, timeout=context.timeout
                )
            except Exception as error:
                result = error
            self._results.put((session, result))

    def _report_result(self, session: str, result: Answer | Exception) -> ExitCode:
        try:
            if isinstance(result, Unsettled):
                result.message = result.reason  # without the request id, which is of no use among many
            if isinstance(result, Exception):
                raise result
            show_removal(self._context, session, result, in_words=self._names_each)
        except RedisUnavailable:
            raise
        except PyCloudError as error:
            self._progress.clear()
            return report_error(self._context, session, error)
        return ExitCode.DONE

    def _summary(self) -> str:
        return f"Removed {self._removed} of {self._total} sessions."

    def _unfinished_summary(self) -> str:
        """The text on the remaining sessions after an early end."""
        in_flight = max(0, self._started - self._finished)
        in_flight_text = pending_requests_text(in_flight)
        remaining = self._total - self._finished - in_flight
        return f"{in_flight_text} {remaining} were left unchanged." if remaining else in_flight_text
