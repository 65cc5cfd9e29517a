"""The operations of the keeper: one method per operation of ``protocol.py``, and the handling of a session's end.

Does not use sockets: a response is a call of ``reply``, and may come later. May touch: what its parts touch.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pycloud import fault_points
from pycloud.keeper.ipc import protocol, request_fields
from pycloud.keeper.ipc.protocol import OperationRejected
from pycloud.keeper.lifecycle.process_tree import ProcessTree
from pycloud.keeper.lifecycle.starter import Paths, ProcessStarter, limit_descriptors
from pycloud.keeper.lifecycle.terminator import Terminator
from pycloud.keeper.storage import journal
from pycloud.keeper.storage.dir_remover import DirRemover
from pycloud.keeper.storage.journal_store import JournalStore
from pycloud.keeper.storage.log_limiter import LogLimiter
from pycloud.keeper.system import usage
from pycloud.keeper.system.exec_command import StartError

log = logging.getLogger(__name__)

GRACE = 10.0  # seconds between SIGTERM and SIGKILL for processes that a session leaves behind

Message = dict[str, Any]
ReplyCallback = Callable[[Message], None]


class Operations:
    """Carries out requests and handles ends of sessions; ``emit`` sends an event to all connections."""

    def __init__(
        self,
        paths: Paths,
        journal_store: JournalStore,
        process_tree: ProcessTree,
        starter: ProcessStarter,
        terminator: Terminator,
        log_limiter: LogLimiter,
        remover: DirRemover,
        emit: Callable[[Message], None],
    ) -> None:
        self._paths = paths
        self._journal_store = journal_store
        self._process_tree = process_tree
        self._starter = starter
        self._terminator = terminator
        self._log_limiter = log_limiter
        self._remover = remover
        self._emit = emit
        self._started_at = time.time()
        #: Replies to send when a session is removed: for its stop, its forget, or the undoing of its failed start.
        self._pending_replies: dict[str, list[ReplyCallback]] = {}
        self._failed_starts: dict[str, Message] = {}
        self._handlers: dict[str, Callable[[Message, ReplyCallback], None]] = {
            protocol.HELLO: self._hello,
            protocol.START: self._start,
            protocol.NOTE: self._note,
            protocol.STOP: self._stop,
            protocol.FORGET: self._forget,
            protocol.LIST: self._list,
            protocol.INSPECT: self._inspect,
        }

    def handle(self, message: Message, reply: ReplyCallback) -> None:
        """Carry out one request; ``reply`` is called exactly once, now or later."""
        try:
            handler = self._handlers.get(request_fields.field(message, "op", str))
            if handler is None:
                operations = ", ".join(self._handlers)
                raise OperationRejected(
                    protocol.BAD_REQUEST, f"unknown operation {message['op']!r}; the operations are {operations}"
                )
            handler(message, reply)
        except OperationRejected as error:
            reply(error.to_response())

    def busy(self) -> bool:
        """Return whether there is anything that needs a running keeper."""
        return bool(
            self._process_tree.leaders
            or len(self._terminator)
            or self._pending_replies
            or self._journal_store.has_unwritten
        )

    def leader_ended(self, session: str, exit_code: int | None, reason: str | None) -> None:
        """Handle the death of a session's first process: record it, emit the event, and terminate what it left."""
        now = time.monotonic()
        fault_points.fault_point("keeper.before_ended")
        state = self._journal_store.entries[session].state
        if state != journal.STARTING:
            ended = {"ended": time.time(), "exit_code": exit_code, "reason": reason}
            if state == journal.REMOVING:
                self._journal_store.apply_in_memory(session, ended)
            else:
                self._journal_store.append_with_retry(session, ended, now)
            self._emit({"event": protocol.ENDED, "session": session, **ended})
        fault_points.fault_point("keeper.after_ended")
        self._terminator.leader_died(session, GRACE)

    def terminate_and_remove(self, session: str, grace: float) -> None:
        """Terminate and remove a session whose removal is recorded, also one whose removal an earlier keeper began."""
        self._pending_replies.setdefault(session, [])
        self._terminate_then(session, grace, lambda: self._remove_files(session, self._record_removed))

    def erase(self, session: str) -> None:
        """Remove all traces of a session that never started."""
        self._pending_replies.setdefault(session, [])
        self._terminate_then(session, 0.0, lambda: self._remove_files(session, self._erase_journal))

    def _hello(self, message: Message, reply: ReplyCallback) -> None:
        request_fields.field(message, "version", int)
        limits = request_fields.limits(message)
        if "log_bytes" in limits:
            self._log_limiter.max_bytes = limits["log_bytes"]
        if "nofile" in limits:
            limit_descriptors(limits["nofile"])
        data = protocol.file_id(self._paths.data)
        reply({"version": protocol.VERSION, "pid": os.getpid(), "data": data})

    def _list(self, message: Message, reply: ReplyCallback) -> None:
        entries = self._journal_store.entries.values()
        reply({"sessions": [journal.describe(entry) for entry in entries if entry.state != journal.STARTING]})

    def _inspect(self, message: Message, reply: ReplyCallback) -> None:
        session = self._require_session(message)
        response: Message = {
            "state": self._journal_store.entries[session].state,
            "directory": self._paths.work(session),
            "keeper": os.getpid(),
            "kept_since": self._started_at,
        }
        if leader := self._process_tree.leaders.get(session):
            response |= {
                "pid": leader.pid,
                "adopted": not leader.is_child,
                "user": usage.user_of(leader.pid),
                "command": usage.command_of(leader.pid),
                **asdict(usage.measure(self._process_tree.roots(session))),
            }
        reply(response)

    def _start(self, message: Message, reply: ReplyCallback) -> None:
        request = request_fields.start_request(message)
        session = request.session
        if session in self._failed_starts:
            self._pending_replies[session].append(reply)  # a retry while the first attempt is being undone
            return
        entry = self._journal_store.entries.get(session)
        if entry is None:
            try:
                self._starter.start(request, time.monotonic())
            except StartError as error:
                self._undo_start(session, error, reply)
                return
            self._log_limiter.add(session, time.monotonic())
        elif entry.state == journal.STARTING:
            self._undo_start(session, StartError("the files of an earlier attempt cannot be removed"), reply)
            return
        entry = self._journal_store.entries[session]
        reply({"pid": entry.pid, "port": entry.port, "started": entry.running})

    def _undo_start(self, session: str, error: StartError, reply: ReplyCallback) -> None:
        # Debug only: the daemon puts the reason into its response, and any requester can cause this.
        log.debug("session %s was not started: %s", session, error)
        rejection = OperationRejected(protocol.START_FAILED, str(error), retryable=error.retryable)
        self._failed_starts[session] = rejection.to_response()
        if session in self._pending_replies:  # a new keeper is erasing already what an earlier attempt left
            self._pending_replies[session].append(reply)
            return
        self._pending_replies[session] = [reply]
        self.erase(session)

    def _note(self, message: Message, reply: ReplyCallback) -> None:
        session = self._require_session(message)
        self._journal_store.append_with_retry(
            session, {"note": request_fields.field(message, "note", dict)}, time.monotonic()
        )
        reply({})

    def _stop(self, message: Message, reply: ReplyCallback) -> None:
        session, grace = request_fields.session_of(message), request_fields.grace_of(message)
        note = request_fields.optional_field(message, "note", dict)
        entry = self._journal_store.entries.get(session)
        if entry is None or entry.state in (journal.STARTING, journal.REMOVED):
            reply({"found": entry is not None and entry.state == journal.REMOVED})
            return
        if entry.state != journal.REMOVING:
            line = {"removing": time.time(), "note": note, "grace": grace}
            self._journal_store.append_with_retry(session, line, time.monotonic())
            fault_points.fault_point("keeper.after_removing")
        if session in self._pending_replies:
            self._pending_replies[session].append(_stop_reply(reply))
            if session in self._terminator:
                self._terminator.begin(session, grace)
            return
        self._pending_replies[session] = [_stop_reply(reply)]
        self.terminate_and_remove(session, grace)

    def _forget(self, message: Message, reply: ReplyCallback) -> None:
        session = request_fields.session_of(message)
        entry = self._journal_store.entries.get(session)
        if entry is None:
            reply({})
        elif entry.state not in (journal.ENDED, journal.REMOVED):
            raise OperationRejected(protocol.ALIVE, f"session {session} is {entry.state}; stop it first")
        elif session in self._pending_replies:
            self._pending_replies[session].append(reply)
        elif entry.state == journal.REMOVED:  # only its journal is left
            self._pending_replies[session] = [reply]
            self._reply_all(session, self._erase_journal, None)
        else:
            self._pending_replies[session] = [reply]
            self._terminate_then(session, GRACE, lambda: self._remove_files(session, self._erase_journal))

    def _require_session(self, message: Message) -> str:
        session = request_fields.session_of(message)
        if session not in self._journal_store.entries:
            raise OperationRejected(protocol.NOT_FOUND, f"this keeper has no session {session}")
        return session

    def _terminate_then(self, session: str, grace: float, then: Callable[[], None]) -> None:
        """Terminate all processes of the session, then call ``then``; at once where there are none."""
        if session in self._process_tree.leaders or session in self._terminator:
            self._terminator.begin(session, grace, then)
        else:
            then()

    def _remove_files(self, session: str, then: Callable[[str], Message]) -> None:
        """Remove the directory and the log, then call ``then`` and send its result to all pending replies."""
        fault_points.fault_point("keeper.before_clearing")
        paths = [self._paths.work(session), self._paths.log(session)]

        def cleared(error: OSError | None) -> None:
            fault_points.fault_point("keeper.after_clearing")
            self._reply_all(session, then, error)

        self._remover.remove(paths, cleared)

    def _reply_all(self, session: str, then: Callable[[str], Message], error: OSError | None) -> None:
        """Call ``then``, unless removal failed with ``error``, and send the result to all pending replies."""
        try:
            if error is not None:
                raise error
            response = then(session)
        except OSError as problem:
            log.warning("cannot remove all of session %s: %s", session, problem)
            text = f"cannot remove all of session {session}: {problem}"
            rejection = OperationRejected(protocol.NOT_REMOVED, text).to_response()
            response = self._failed_starts.pop(session, rejection)
        for reply in self._pending_replies.pop(session):
            reply(response)

    def _record_removed(self, session: str) -> Message:
        self._journal_store.append_with_retry(session, {"removed": time.time()}, time.monotonic())
        return {}

    def _erase_journal(self, session: str) -> Message:
        self._journal_store.erase(session)
        return self._failed_starts.pop(session, {})


def _stop_reply(reply: ReplyCallback) -> ReplyCallback:
    """Turn the result of a removal into a response to ``stop``, whichever operation began that removal."""
    return lambda answer: reply(answer if "error" in answer else {"found": True})
