"""``remove``: ends sessions and deletes what is left of them, several at a time, and asks first where it is several."""

from __future__ import annotations

import threading
from argparse import Namespace
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from pycloud.client import SessionRecord
from pycloud.client.answer import Answer
from pycloud.client.errors import Unsettled
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import RemoveResponse
from pycloud.shell.base.cloud_lookup import find_clouds
from pycloud.shell.base.confirm import SHOWN, confirmed
from pycloud.shell.base.context import Context
from pycloud.shell.base.flags import labels_of
from pycloud.shell.base.lookup import Found, find_sessions
from pycloud.shell.session_commands.sessions import remove_one, report, show_removal
from pycloud.shell.terminal.exit_codes import Exit, Interrupted, UsageProblem
from pycloud.shell.terminal.progress_bar import Progress

#: So many are asked for at once. Each waits for processes to end, mostly; more would only crowd their clouds.
THREADS = 8
#: Up to so many sessions are named one by one, also on a terminal.
NAMED = 10


def remove(context: Context, args: Namespace) -> Exit:
    """End sessions and delete what is left of them."""
    found = _chosen(context, args)
    if args.id is not None and len(found.ids) != 1:
        raise UsageProblem("--id names one request, so it goes with one session: remove them one by one")
    codes = [report(context, word, found.lacks[word]) for word in found.missing]
    if not found.ids:
        if not codes:
            context.printer.say("There are no such sessions: nothing to remove.")
        return max(codes, default=Exit.DONE)
    if len(found.ids) == 1:
        return max([*codes, remove_one(context, found.ids[0], args)])
    if not (args.yes or _agreed(context, found.ids)):
        context.printer.say("Nothing was removed.")
        return Exit.FAILED
    return max([*codes, Removals(context, found.ids).carry_out()])


def _chosen(context: Context, args: Namespace) -> Found:
    """What is to be removed: what is named, or all that has everything that is asked for."""
    asked = args.all or args.label or args.cloud
    if args.sessions and asked:
        raise UsageProblem("name sessions, or say which (--all, --label, --cloud), but not both")
    if args.sessions:
        return find_sessions(context.client, args.sessions)
    if not asked:
        raise UsageProblem(
            f"remove needs to know which: type `{context.prefix}remove SESSION`, or --label, --cloud or --all"
        )
    clouds = find_clouds(context.client, args.cloud or ())
    if labels := labels_of(args.label):
        return Found([record.id for record in context.client.sessions(clouds=clouds, labels=labels)])
    return Found(list(context.client.session_ids(clouds=clouds)))


def _agreed(context: Context, sessions: Sequence[str]) -> bool:
    """Whether somebody wants all of these removed, having seen which they are."""
    first = sessions[:SHOWN]
    known = {record.id: _described(record) for record in context.client.records(first)}
    lines = [known.get(session, session) for session in first]
    return confirmed(context, f"Remove {len(sessions)} sessions?", lines, len(sessions))


def _described(record: SessionRecord) -> str:
    return "  ".join(word for word in (record.id, record.name or "", record.state) if word)


def _is_removal(result: Answer | Exception) -> bool:
    """Whether a session is gone by it."""
    return isinstance(result, Answer) and isinstance(result.response, RemoveResponse) and result.response.status


class Removals:
    """Many removals, ``THREADS`` at a time.

    The threads only ask; what came of it is shown by the one that waits for them, which is also the one that Ctrl-C
    ends. They are not waited for then: each may be at a session that takes its time to end.
    """

    def __init__(self, context: Context, sessions: Sequence[str]) -> None:
        self._context, self._total = context, len(sessions)
        self._left: SimpleQueue[str] = SimpleQueue()
        for session in sessions:
            self._left.put(session)
        self._results: SimpleQueue[tuple[str, Answer | Exception]] = SimpleQueue()
        self._stop = threading.Event()
        self._begun = self._settled = self._removed = 0
        self._one_by_one = self._total <= NAMED or not context.printer.chatty
        self._progress = Progress(context.printer, "Removed", self._total)

    def carry_out(self) -> Exit:
        """Remove them all; the worst code. Raises Interrupted, and RedisUnavailable as soon as one meets that."""
        for _ in range(min(THREADS, self._total)):
            threading.Thread(target=self._work, daemon=True).start()
        codes = [Exit.DONE]
        try:
            while self._settled < self._total:
                session, result = self._results.get()
                # Counted before it is told: Ctrl-C may come between any two steps.
                self._removed += _is_removal(result)
                self._settled += 1
                codes.append(self._settle(session, result))
                if not self._one_by_one:
                    self._progress.show(self._removed)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped. {self._said()}{self._unsettled()}") from None
        except RedisUnavailable:
            self._progress.clear()
            self._context.printer.say(self._said() + self._unsettled())
            raise
        finally:
            self._stop.set()
            self._progress.clear()
        self._context.printer.say(self._said())
        return max(codes)

    def _work(self) -> None:
        context = self._context
        while not self._stop.is_set():
            try:
                session = self._left.get_nowait()
            except Empty:
                return
            self._begun += 1
            try:
                result: Answer | Exception = context.client.request(
                    "remove", {"session": session}, timeout=context.timeout
                )
            except Exception as error:
                result = error
            self._results.put((session, result))

    def _settle(self, session: str, result: Answer | Exception) -> Exit:
        try:
            if isinstance(result, Unsettled):
                result.message = result.reason  # the id of one among many helps nobody
            if isinstance(result, Exception):
                raise result
            show_removal(self._context, session, result, in_words=self._one_by_one)
        except RedisUnavailable:
            raise
        except PyCloudError as error:
            self._progress.clear()
            return report(self._context, session, error)
        return Exit.DONE

    def _said(self) -> str:
        return f"Removed {self._removed} of {self._total} sessions."

    def _unsettled(self) -> str:
        """What is to be said where it ended early."""
        under_way = max(0, self._begun - self._settled)
        asked = f" {under_way} more were asked for, and may still be removed." if under_way else ""
        left = self._total - self._settled - under_way
        return f"{asked} {left} are as they were." if left else asked
