"""What the keeper does on request, and when a session ends: one method per operation of ``protocol.py``.

Knows nothing of sockets: an answer is a call, and may come later. May touch: what its parts touch.
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
from pycloud.keeper.ipc.request_fields import RefusedError
from pycloud.keeper.lifecycle.process_tree import Family
from pycloud.keeper.lifecycle.starter import Paths, Starter, limit_descriptors
from pycloud.keeper.lifecycle.terminator import Endings
from pycloud.keeper.storage import journal
from pycloud.keeper.storage.dir_remover import Remover
from pycloud.keeper.storage.journal_store import Book
from pycloud.keeper.storage.log_limiter import Sweeper
from pycloud.keeper.system import usage
from pycloud.keeper.system.exec_command import StartError

log = logging.getLogger(__name__)

GRACE = 10.0  # seconds that what a session leaves behind has between SIGTERM and SIGKILL

Message = dict[str, Any]
Reply = Callable[[Message], None]


class Operations:
    """``emit`` sends an event to everybody who listens."""

    def __init__(
        self,
        paths: Paths,
        book: Book,
        family: Family,
        starter: Starter,
        endings: Endings,
        sweeper: Sweeper,
        remover: Remover,
        emit: Callable[[Message], None],
    ) -> None:
        self._paths = paths
        self._book = book
        self._family = family
        self._starter = starter
        self._endings = endings
        self._sweeper = sweeper
        self._remover = remover
        self._emit = emit
        self._since = time.time()
        #: Who waits for a session to be gone: for its stop, its forget, or the undoing of its failed start.
        self._waiting: dict[str, list[Reply]] = {}
        self._failed: dict[str, Message] = {}
        self._handlers: dict[str, Callable[[Message, Reply], None]] = {
            protocol.HELLO: self._hello,
            protocol.START: self._start,
            protocol.NOTE: self._note,
            protocol.STOP: self._stop,
            protocol.FORGET: self._forget,
            protocol.LIST: self._list,
            protocol.INSPECT: self._inspect,
        }

    def handle(self, message: Message, reply: Reply) -> None:
        """Carry out one request; ``reply`` is called exactly once, now or later."""
        try:
            handler = self._handlers.get(request_fields.field(message, "op", str))
            if handler is None:
                known = ", ".join(self._handlers)
                raise RefusedError(protocol.BAD_REQUEST, f"unknown operation {message['op']!r}; there are {known}")
            handler(message, reply)
        except RefusedError as error:
            reply(error.answer())

    def busy(self) -> bool:
        """Whether there is anything that needs a keeper."""
        return bool(self._family.leaders or len(self._endings) or self._waiting or self._book.unwritten)

    def leader_ended(self, session: str, exit_code: int | None, reason: str | None) -> None:
        """A session's first process is dead: write it down, tell, and end what it left."""
        now = time.monotonic()
        fault_points.point("keeper.before_ended")
        state = self._book.entries[session].state
        if state != journal.STARTING:
            ended = {"ended": time.time(), "exit_code": exit_code, "reason": reason}
            if state == journal.REMOVING:
                self._book.remember(session, ended)
            else:
                self._book.record(session, ended, now)
            self._emit({"event": protocol.ENDED, "session": session, **ended})
        fault_points.point("keeper.after_ended")
        self._endings.leader_died(session, GRACE)

    def carry_on(self, session: str, grace: float) -> None:
        """End and remove a session whose removal is on record; also one that was being removed by another keeper."""
        self._waiting.setdefault(session, [])
        self._when_dead(session, grace, lambda: self._clear(session, self._removed))

    def erase(self, session: str) -> None:
        """Remove all traces of a session that never came to run."""
        self._waiting.setdefault(session, [])
        self._when_dead(session, 0.0, lambda: self._clear(session, self._forgotten))

    def _hello(self, message: Message, reply: Reply) -> None:
        request_fields.field(message, "version", int)
        limits = request_fields.limits(message)
        if "log_bytes" in limits:
            self._sweeper.keep = limits["log_bytes"]
        if "nofile" in limits:
            limit_descriptors(limits["nofile"])
        data = protocol.file_id(self._paths.data)
        reply({"version": protocol.VERSION, "pid": os.getpid(), "data": data})

    def _list(self, message: Message, reply: Reply) -> None:
        entries = self._book.entries.values()
        reply({"sessions": [journal.describe(entry) for entry in entries if entry.state != journal.STARTING]})

    def _inspect(self, message: Message, reply: Reply) -> None:
        session = self._known(message)
        about: Message = {
            "state": self._book.entries[session].state,
            "directory": self._paths.work(session),
            "keeper": os.getpid(),
            "kept_since": self._since,
        }
        if leader := self._family.leaders.get(session):
            about |= {
                "pid": leader.pid,
                "adopted": not leader.ours,
                "user": usage.user_of(leader.pid),
                "command": usage.command_of(leader.pid),
                **asdict(usage.measure(self._family.tops(session))),
            }
        reply(about)

    def _start(self, message: Message, reply: Reply) -> None:
        request = request_fields.start_request(message)
        session = request.session
        if session in self._failed:
            self._waiting[session].append(reply)  # asked again while the first attempt is being undone
            return
        entry = self._book.entries.get(session)
        if entry is None:
            try:
                self._starter.start(request, time.monotonic())
            except StartError as error:
                self._undo_start(session, error, reply)
                return
            self._sweeper.add(session, time.monotonic())
        elif entry.state == journal.STARTING:
            self._undo_start(session, StartError("what an earlier attempt left cannot be removed"), reply)
            return
        entry = self._book.entries[session]
        reply({"pid": entry.pid, "port": entry.port, "started": entry.running})

    def _undo_start(self, session: str, error: StartError, reply: Reply) -> None:
        log.debug("session %s was not started: %s", session, error)  # the daemon answers it: anybody can cause this
        refusal = RefusedError(protocol.START_FAILED, str(error), passing=error.passing)
        self._failed[session] = refusal.answer()
        self._waiting[session] = [reply]
        self.erase(session)

    def _note(self, message: Message, reply: Reply) -> None:
        session = self._known(message)
        self._book.record(session, {"note": request_fields.field(message, "note", dict)}, time.monotonic())
        reply({})

    def _stop(self, message: Message, reply: Reply) -> None:
        session, grace = request_fields.session_of(message), request_fields.grace_of(message)
        note = request_fields.optional(message, "note", dict)
        entry = self._book.entries.get(session)
        if entry is None or entry.state in (journal.STARTING, journal.REMOVED):
            reply({"found": entry is not None and entry.state == journal.REMOVED})
            return
        if entry.state != journal.REMOVING:
            line = {"removing": time.time(), "note": note, "grace": grace}
            self._book.record(session, line, time.monotonic())
            fault_points.point("keeper.after_removing")
        if session in self._waiting:
            self._waiting[session].append(_found(reply))
            if session in self._endings:
                self._endings.begin(session, grace)
            return
        self._waiting[session] = [_found(reply)]
        self.carry_on(session, grace)

    def _forget(self, message: Message, reply: Reply) -> None:
        session = request_fields.session_of(message)
        entry = self._book.entries.get(session)
        if entry is None:
            reply({})
        elif entry.state not in (journal.ENDED, journal.REMOVED):
            raise RefusedError(protocol.ALIVE, f"session {session} is {entry.state}; stop it first")
        elif session in self._waiting:
            self._waiting[session].append(reply)
        elif entry.state == journal.REMOVED:  # only its journal is left
            self._waiting[session] = [reply]
            self._conclude(session, self._forgotten, None)
        else:
            self._waiting[session] = [reply]
            self._when_dead(session, GRACE, lambda: self._clear(session, self._forgotten))

    def _known(self, message: Message) -> str:
        session = request_fields.session_of(message)
        if session not in self._book.entries:
            raise RefusedError(protocol.NOT_FOUND, f"there is no session {session}")
        return session

    def _when_dead(self, session: str, grace: float, then: Callable[[], None]) -> None:
        """Call ``then`` when nothing of the session lives, after ending what does."""
        if session in self._family.leaders or session in self._endings:
            self._endings.begin(session, grace, then)
        else:
            then()

    def _clear(self, session: str, then: Callable[[str], Message]) -> None:
        """Remove directory and log, then call ``then`` and give its answer to all who wait."""
        fault_points.point("keeper.before_clearing")
        paths = [self._paths.work(session), self._paths.log(session)]

        def cleared(error: OSError | None) -> None:
            fault_points.point("keeper.after_clearing")
            self._conclude(session, then, error)

        self._remover.remove(paths, cleared)

    def _conclude(self, session: str, then: Callable[[str], Message], error: OSError | None) -> None:
        """Call ``then``, unless something could not be removed (``error``), and answer all who wait."""
        try:
            if error is not None:
                raise error
            answer = then(session)
        except OSError as problem:
            log.warning("cannot remove all of session %s: %s", session, problem)
            text = f"cannot remove all of session {session}: {problem}"
            refusal = RefusedError(protocol.NOT_REMOVED, text).answer()
            answer = self._failed.pop(session, refusal)
        for reply in self._waiting.pop(session):
            reply(answer)

    def _removed(self, session: str) -> Message:
        self._book.record(session, {"removed": time.time()}, time.monotonic())
        return {}

    def _forgotten(self, session: str) -> Message:
        self._book.erase(session)
        return self._failed.pop(session, {})


def _found(reply: Reply) -> Reply:
    """An answer to ``stop``, whoever else waited for the same end."""
    return lambda answer: reply(answer if "error" in answer else {"found": True})
