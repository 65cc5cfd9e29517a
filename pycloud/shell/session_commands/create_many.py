"""``create --count N``: many creates side by side, a bounded number of them at once."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pycloud.client.answer import Answer
from pycloud.client.errors import NoCloud, RequestRefused, Unsettled
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import CreateResponse
from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import Exit, Interrupted, code_of
from pycloud.shell.terminal.output import Printer, Row, duration, row_of
from pycloud.shell.terminal.progress_bar import Progress

#: Requests that are under way at a time: more would only wait for each other in Redis and on the hosts.
AT_ONCE = 32
#: A cloud's answer, or why there is none.
Outcome = Answer | PyCloudError


class Crowd:
    """Sends ``fields`` as ``number`` creates, each under an id of its own. ``outcomes`` come in as they are settled.

    Its threads end with the program: what was asked for may be carried out all the same.
    """

    def __init__(self, context: Context, fields: Mapping[str, Any], number: int) -> None:
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.stopped = threading.Event()
        self._context, self._fields = context, fields
        self._tickets = itertools.islice(itertools.count(), number)
        self._lock = threading.Lock()
        self.asked = 0
        for _ in range(min(number, AT_ONCE)):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while self._take():
            self.outcomes.put(self._ask())

    def _take(self) -> bool:
        """Whether there is one more to ask for."""
        with self._lock:
            if self.stopped.is_set() or next(self._tickets, None) is None:
                return False
            self.asked += 1
            return True

    def _ask(self) -> Outcome:
        try:
            return self._context.client.request("create", self._fields, timeout=self._context.timeout)
        except PyCloudError as error:
            if isinstance(error, NoCloud | RedisUnavailable):
                self.stopped.set()  # the others would meet the same
            return error
        except (ValueError, RuntimeError) as error:  # of no use to any cloud; or the program is ending
            self.stopped.set()
            return PyCloudError(str(error))


class Tally:
    """What has become of them so far."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.rows: list[Row] = []
        self.started = 0
        self.clouds: set[str] = set()
        self.failures: Counter[str] = Counter()
        self.worst = Exit.DONE

    def add(self, outcome: Outcome) -> None:
        """Count one, and print it for programs."""
        try:
            if isinstance(outcome, PyCloudError):
                raise outcome
            if self._context.printer.mode == "json":
                self._context.printer.line(outcome.raw)
            self._count(outcome.accepted().response)
        except PyCloudError as error:
            self.failures[_reason(error)] += 1
            self.worst = max(self.worst, code_of(error))
        self._context.printer.out.flush()

    def _count(self, created: Any) -> None:
        assert isinstance(created, CreateResponse)
        self.started += 1
        self.clouds.add(created.cloud)
        if self._context.conversation is not None:
            self._context.conversation.touched.add(str(created.id))
        if self._context.printer.mode == "ids":
            self._context.printer.line(str(created.id))
        elif self._context.printer.mode == "table":
            self.rows.append(row_of(created, time.time()))


def create_many(context: Context, fields: Mapping[str, Any], number: int) -> Exit:
    """Start ``number`` sessions; the worst exit code. Ctrl-C leaves those that were started."""
    began, printer = time.monotonic(), context.printer
    tally, progress = Tally(context), Progress(printer, "Started", number)
    crowd = Crowd(context, fields, number)
    try:
        _collect(crowd, tally, progress, printer, number)
    except KeyboardInterrupt:
        crowd.stopped.set()
        under_way = crowd.asked - tally.started - tally.failures.total()
        more = f"; {under_way} more were asked for and may be, too" if under_way else ""
        raise Interrupted(f"{_sessions(tally.started)} of {number} started, and go on{more}.") from None
    finally:
        progress.clear()
        printer.table(tally.rows)
        for reason, count in tally.failures.most_common():
            printer.complain(f"{count} of {number} not started: {reason}")
    if printer.shows_progress or tally.failures:
        took = time.monotonic() - began
        clouds = f" on {len(tally.clouds)} cloud{'s' if len(tally.clouds) != 1 else ''}" if tally.clouds else ""
        printer.say(f"{_sessions(tally.started)} of {number} started{clouds} in {duration(took)}.")
    return tally.worst


def _collect(crowd: Crowd, tally: Tally, progress: Progress, printer: Printer, number: int) -> None:
    done, shared = 0, printer.mode != "table" and printer.width is not None
    progress.show(0)
    while done < (crowd.asked if crowd.stopped.is_set() else number):
        try:
            outcome = crowd.outcomes.get(timeout=0.2)
        except queue.Empty:
            continue
        done += 1
        if shared:
            progress.clear()  # what is printed goes to the same screen
        tally.add(outcome)
        progress.show(tally.started, tally.failures.total())


def _sessions(count: int) -> str:
    return f"{count} session{'s' if count != 1 else ''}"


def _reason(error: PyCloudError) -> str:
    """Why, in words that are the same for all that failed for the same reason."""
    if isinstance(error, Unsettled) and not isinstance(error, RedisUnavailable):
        return "no answer came in time, so that they may be started yet"
    return f"{error.message} ({error.code})" if isinstance(error, RequestRefused) else error.message
