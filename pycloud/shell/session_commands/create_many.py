"""``create --count N``: many create requests, a bounded number of them concurrently."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pycloud.client.errors import NoCloud, RequestRefused, Unsettled
from pycloud.client.request import Answer
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import CreateResponse
from pycloud.shell.base.context import Context, pending_requests_text
from pycloud.shell.terminal.exit_codes import ExitCode, Interrupted, exit_code_for
from pycloud.shell.terminal.output import Printer, Row, duration, session_row
from pycloud.shell.terminal.progress_bar import ProgressBar

#: Maximum number of concurrent requests: more would only wait for each other in Redis and on the hosts.
MAX_CONCURRENT = 32
#: A node's response, or the error where there is none.
CreateResult = Answer | PyCloudError


class CreateBatch:
    """Sends ``number`` create requests with ``fields``, each with an id of its own. ``results`` receives each result as
    soon as it is known; ``sent`` counts the requests sent.

    The threads are daemon threads and end with the program; requests already sent may still be executed.
    """

    def __init__(self, context: Context, fields: Mapping[str, Any], number: int) -> None:
        self.results: queue.Queue[CreateResult] = queue.Queue()
        self.stopped = threading.Event()
        self._context, self._fields = context, fields
        self._remaining = itertools.islice(itertools.count(), number)
        self._lock = threading.Lock()
        self.sent = 0
        for _ in range(min(number, MAX_CONCURRENT)):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while self._take_next():
            self.results.put(self._create_one())

    def _take_next(self) -> bool:
        """Whether another request is to be sent; counts it as sent."""
        with self._lock:
            if self.stopped.is_set() or next(self._remaining, None) is None:
                return False
            self.sent += 1
            return True

    def _create_one(self) -> CreateResult:
        try:
            return self._context.client.request("create", self._fields, timeout=self._context.timeout)
        except PyCloudError as error:
            if isinstance(error, NoCloud | RedisUnavailable):
                self.stopped.set()  # the other requests would fail in the same way
            return error
        except (ValueError, RuntimeError) as error:  # ValueError: invalid fields. RuntimeError: the program is ending
            self.stopped.set()
            return PyCloudError(str(error))
        except Exception as error:  # a bug; without a result for it, ``_collect`` would wait forever
            return PyCloudError(f"{type(error).__name__}: {error}")


class BatchResult:
    """The results so far: rows to print, counts, failures by reason, and the worst exit code."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.rows: list[Row] = []
        self.started = 0
        self.nodes: set[str] = set()
        self.failures: Counter[str] = Counter()
        self.exit_code = ExitCode.DONE

    def add(self, result: CreateResult) -> None:
        """Count a result, and print it at once in the modes ``json`` and ``ids``."""
        try:
            if isinstance(result, PyCloudError):
                raise result
            if self._context.printer.mode == "json":
                self._context.printer.line(result.raw)
            self._count(result.raise_for_error().response)
        except PyCloudError as error:
            self.failures[_reason(error)] += 1
            self.exit_code = max(self.exit_code, exit_code_for(error))
        self._context.printer.out.flush()

    def _count(self, created: Any) -> None:
        assert isinstance(created, CreateResponse)
        self.started += 1
        self.nodes.add(created.cloud)
        if self._context.prompt_state is not None:
            self._context.prompt_state.own_changes.add(str(created.id))
        if self._context.printer.mode == "ids":
            self._context.printer.line(str(created.id))
        elif self._context.printer.mode == "table":
            self.rows.append(session_row(created, time.time()))


def create_many(context: Context, fields: Mapping[str, Any], number: int) -> ExitCode:
    """Start ``number`` sessions; returns the worst exit code. Raises Interrupted on Ctrl-C; no session is ended."""
    started_at, printer = time.monotonic(), context.printer
    batch_result, progress = BatchResult(context), ProgressBar(printer, "Started", number)
    batch = CreateBatch(context, fields, number)
    try:
        _collect(batch, batch_result, progress, printer, number)
    except KeyboardInterrupt:
        batch.stopped.set()
        in_flight = batch.sent - batch_result.started - batch_result.failures.total()
        started = f"Started {batch_result.started} of {number} sessions; they keep running."
        raise Interrupted(f"Stopped. {started}{pending_requests_text(in_flight)}") from None
    finally:
        progress.clear()
        printer.table(batch_result.rows)
        for reason, count in batch_result.failures.most_common():
            printer.error(f"{count} of {number} not started: {reason}")
    if printer.shows_progress or batch_result.failures:
        elapsed = time.monotonic() - started_at
        nodes = (
            f" on {len(batch_result.nodes)} node{'s' if len(batch_result.nodes) != 1 else ''}"
            if batch_result.nodes
            else ""
        )
        printer.notice(f"Started {batch_result.started} of {number} sessions{nodes} in {duration(elapsed)}.")
    return batch_result.exit_code


def _collect(
    batch: CreateBatch, batch_result: BatchResult, progress: ProgressBar, printer: Printer, number: int
) -> None:
    done, shares_screen = 0, printer.mode != "table" and printer.width is not None
    progress.show(0)
    while done < (batch.sent if batch.stopped.is_set() else number):
        try:
            result = batch.results.get(timeout=0.2)
        except queue.Empty:
            continue
        done += 1
        if shares_screen:
            progress.clear()  # the result is printed on the same terminal
        batch_result.add(result)
        progress.show(batch_result.started, batch_result.failures.total())


def _reason(error: PyCloudError) -> str:
    """The reason as text, equal for all requests that failed for the same reason."""
    if isinstance(error, Unsettled) and not isinstance(error, RedisUnavailable):
        return "there was no response in time; they may still be started"
    return f"{error.message} ({error.code})" if isinstance(error, RequestRefused) else error.message
