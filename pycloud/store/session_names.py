"""Names of sessions in Redis: a name belongs to at most one live session. The key is described in lua/update_name.lua.

A name is reserved before its session is started, becomes the session's with the response to its create
(lua/commit.lua), is rewritten with the session's record, and is available to others once the session has ended; until
another session takes it, it refers to the ended one. Every operation here may be repeated without harm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import StrEnum

from pycloud.protocol.keys import Keys
from pycloud.protocol.session import Session, State
from pycloud.store.records import RECORD_TTL, record_ttl
from pycloud.store.requests import NAME_LEASE, Claim
from pycloud.store.scripts import load_script
from pycloud.transport.pipeline import RedisArgument, RedisPipeline

log = logging.getLogger(__name__)


class NameUpdate(StrEnum):
    """The new state of a session's name."""

    STARTING = "starting"
    LIVE = "live"
    ENDED = "ended"
    RELEASED = "gone"
    RELEASED_FOR_OFFLINE_OWNER = "given_up"


class NameReservations:
    """Reserves and releases names. ``retention``: seconds for which ended sessions are kept."""

    def __init__(self, pipeline: RedisPipeline, keys: Keys, retention: float) -> None:
        self._pipeline, self._keys, self._retention = pipeline, keys, retention
        self._update_name_script = load_script("update_name")

    def reserve(self, session: Session) -> str | None:
        """Reserve its name for a session about to start; returns None, or the session that holds the name."""
        if session.name is None:
            return None
        result, holder = self._update(NameUpdate.STARTING, [session])[0]
        return holder if result == "taken" else None

    def renew(self, sessions: Iterable[Session]) -> bool:
        """Write the names of these sessions again; returns whether there were any.

        A session loses its name where another session has it by now, or where it was released for an offline owner
        meanwhile.
        """
        named = [session for session in sessions if session.name and session.state is not State.REMOVED]
        for update in (NameUpdate.LIVE, NameUpdate.ENDED):
            # Sessions that ended during the first round are in the second; those that were removed are in none.
            some = [session for session in named if session.alive is (update is NameUpdate.LIVE)]
            some = [session for session in some if session.state is not State.REMOVED]
            for session, (result, holder) in zip(some, self._update(update, some), strict=True):
                if update is NameUpdate.LIVE and result != "done":
                    _drop_name(session, holder)
        return bool(named)

    def release(self, session: Session) -> None:
        """Release the name of a session that no longer exists, where it held it."""
        self._update(NameUpdate.RELEASED, [session] if session.name else [])

    def release_for_offline_owner(self, session: str, name: str) -> None:
        """Release the name of another node's session that is to be removed as soon as its node is back."""
        self._pipeline.eval_script(
            self._update_name_script,
            self._script_keys(name, session),
            (NameUpdate.RELEASED_FOR_OFFLINE_OWNER, name, session, "", RECORD_TTL),
        )

    def holder(self, name: str) -> str | None:
        """The session that has a name, or had it last; None where there is none."""
        found = self._pipeline.execute("HGET", self._keys.name_key(name), "session")
        return None if found is None else str(found.decode())

    def _update(self, update: NameUpdate, sessions: list[Session]) -> list[tuple[str, str]]:
        runs: list[tuple[list[str], list[RedisArgument]]] = []
        for session in sessions:
            name, request = str(session.name), Claim.of(session).member
            ttl = NAME_LEASE if update is NameUpdate.STARTING else record_ttl(session, self._retention)
            runs.append((self._script_keys(name, session.id), [update, name, session.id, request, ttl]))
        replies = self._pipeline.eval_scripts(self._update_name_script, runs) if runs else []
        return [(result.decode(), holder.decode()) for result, holder in replies]

    def _script_keys(self, name: str, session: str) -> list[str]:
        return [self._keys.name_key(name), self._keys.session_key(session)]


def _drop_name(session: Session, holder: str) -> None:
    """Log once that a session has lost its name, and clear it."""
    if session.name is None:
        return  # a concurrent call has cleared it
    if holder:
        log.warning(
            "session %s has lost its name %s: the name now belongs to session %s",
            *(session.id, session.name, holder),
        )
    else:
        log.info("session %s has lost its name %s: a remove has released it", session.id, session.name)
    session.name = None
