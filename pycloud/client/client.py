"""The blocking Python client: start sessions on a PyCloud, ask about them, end them.

A documented library (README.md, "As a library") and what ``pycloudctl`` is made of. Loads neither gevent nor docker,
and nothing of the daemon. Requests are in ``asking.py``; here is what is read from Redis, and what is awaited.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pycloud.client.answer import Answer, Created
from pycloud.client.ask import validate_timeout
from pycloud.client.asking import DEFAULT_TIMEOUT, Requester, ignore
from pycloud.client.deprecated import deprecated
from pycloud.client.errors import (
    NoAnswer,
    NoCloud,
    NotEnded,
    NotFound,
    RedisLost,
    RequestRefused,
    Unsettled,
    UnusableAnswer,
)
from pycloud.client.records import RecordReader, SessionRecord, record_filter
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import (
    DrainRequest,
    DrainResponse,
    Heartbeat,
    InspectRequest,
    InspectResponse,
    StatusResponse,
)

if TYPE_CHECKING:
    from pycloud.client.clouds import KnownNode
    from pycloud.client.events import EventFollower, EventRecord, OnRedisLoss
    from pycloud.client.examine import DiagnosticReport
    from pycloud.client.pulse import HealthSnapshot

__all__ = [
    "Answer",
    "Client",
    "Created",
    "NoAnswer",
    "NoCloud",
    "NotEnded",
    "NotFound",
    "PyCloudError",
    "RedisLost",
    "RedisUnavailable",
    "RequestRefused",
    "SessionRecord",
    "Unsettled",
    "UnusableAnswer",
]

T = TypeVar("T")


class Client(Requester):
    """Talks to the clouds of one namespace through Redis. Use it in a ``with`` block, or ``close()`` it.

    Several threads may share one. Connects when it is first used. Every method raises RedisUnavailable where Redis
    cannot be reached; those that ask a cloud also raise NoCloud (at once), NoAnswer (after ``timeout`` seconds),
    RequestRefused, and UnusableAnswer where somebody else than a cloud has answered.
    """

    @cached_property
    def _record_reader(self) -> RecordReader:
        return RecordReader(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT)

    def wait(self, session: str, *, timeout: float | None = None) -> StatusResponse:
        """Wait until ``session`` lives no more; what has become of it: ``state``, ``exit_code``, ``reason``.

        Where nobody knows it (any more), ``state`` is not set. One that is ``lost`` counts as ended, though it may come
        back. Restarts of Redis and of its cloud are sat out. ``timeout``: seconds, at most a day; None: for ever.
        Raises NotEnded when the time is up, and NoCloud or NoAnswer where nobody can tell to begin with.
        """
        from pycloud.client import wait
        from pycloud.client.events import EventLog

        deadline = math.inf if timeout is None else time.monotonic() + validate_timeout(timeout)
        read_timeout = self.timeout or DEFAULT_TIMEOUT
        follower = EventLog(self._command_pool, self._keys, read_timeout).follower()
        return wait.wait(session, lambda seconds: self.status(session, timeout=seconds), follower, deadline)

    def sessions(
        self,
        *,
        clouds: Collection[str] = (),
        states: Collection[str] = (),
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> Iterator[SessionRecord]:
        """All sessions known, oldest first, read from Redis page by page while you iterate.

        ``clouds``, ``states``: of those only, unless empty. ``labels``: of those that have them all. ``name``: of those
        whose name matches this pattern (``web-*``). A record is ``stale`` where its cloud is away.
        """
        return self._record_reader.sessions(clouds, record_filter(states, labels, name))

    def session_named(self, name: str) -> str | None:
        """The id of the session that has this name, or had it last and is remembered; None where there is none."""
        return self.sessions_named([name]).get(name)

    def sessions_named(self, names: Sequence[str]) -> dict[str, str]:
        """The same for several, by name, in one read; those that no session has are missing."""
        return self._record_reader.session_ids_by_name(names)

    def session_ids(self, *, clouds: Collection[str] = ()) -> Iterator[str]:
        """The ids of all sessions known, oldest first: quicker than ``sessions()``."""
        return self._record_reader.session_ids(clouds)

    def session_names(self) -> Iterator[tuple[str, str]]:
        """The id and the name (empty: none) of each: still quicker. Several that have ended may have had one name."""
        return self._record_reader.session_names()

    def records(self, sessions: Sequence[str]) -> list[SessionRecord]:
        """What is recorded of these sessions (at most some hundreds); nothing of those that nobody knows."""
        return list(self._record_reader.records(sessions))

    def nodes(self) -> list[Heartbeat]:
        """What each living cloud last said of itself, by id."""
        return self._record_reader.live_heartbeats()

    def known_nodes(self) -> list[KnownNode]:
        """Every cloud that was heard of in the last week, by id; of one that is away, ``rank`` is None."""
        from pycloud.client.clouds import known_nodes

        return known_nodes(self._command_pool, self._keys, self._record_reader, self.timeout or DEFAULT_TIMEOUT)

    def drain(self, cloud: str, draining: bool = True, *, timeout: float | None = None) -> DrainResponse:
        """Ask ``cloud`` (10 hex digits) to take nothing new, or (``draining`` False) to take sessions again.

        Returns when it does, and the others know; ``sessions`` is how many live there. It is kept over a restart of its
        daemon. Raises NoCloud where it is away, ValueError where ``cloud`` is no id of a cloud.
        """
        answer = self.request(
            DrainRequest.op, {"cloud": cloud, "draining": draining}, timeout=timeout
        ).raise_for_error()
        return msgspec.convert(answer.response, DrainResponse)

    def inspect(self, session: str, *, timeout: float | None = None) -> InspectResponse:
        """All that its cloud knows of ``session``, and what it uses just now (``figures``).

        Where its cloud is away, what is on record, with ``stale`` true. Raises NotFound (a LookupError) where nobody
        knows it, ValueError where ``session`` is no session id.
        """
        from pycloud.client import inspection

        try:
            answer = self.request(InspectRequest.op, {"session": session}, timeout=timeout).raise_for_error()
        except NoCloud as error:
            return inspection.inspection_from_record(session, self.records([session]), error)
        return inspection.require_known(msgspec.convert(answer.response, InspectResponse))

    def watch(
        self, look: Callable[[], T], *, every: float = 5.0, timeout: float | None = None, on_loss: OnRedisLoss = ignore
    ) -> Iterator[T]:
        """What ``look()`` returns: now, whenever something has happened, and at the latest after ``every`` seconds.

        Over restarts of Redis, of which ``on_loss`` is told as in ``events``. It ends after ``timeout`` seconds (None:
        never), raising RedisUnavailable where Redis is away by then.
        """
        from pycloud.client.events import EventLog
        from pycloud.client.watching import watch

        events = EventLog(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT)
        deadline = math.inf if timeout is None else time.monotonic() + validate_timeout(timeout)
        return watch(look, events.follower(), every, deadline, on_loss)

    def events(
        self,
        since: float | None = None,
        follow: bool = False,
        *,
        last: int | None = None,
        on_loss: OnRedisLoss = ignore,
    ) -> Iterator[EventRecord]:
        """What happened, oldest first: from ``since`` on (Unix seconds; None: all that Redis remembers), at most the
        newest ``last``.

        ``follow``: and then what happens, without end, over restarts of Redis; with neither ``since`` nor ``last`` only
        what happens from this call on. ``on_loss`` is called with the error when Redis is lost, and with None when it
        is back. Each is an ``Event``, and has its JSON as it came in ``raw``.
        """
        from pycloud.client.events import EventLog  # requests need none of it

        return EventLog(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT).read(
            since, last, follow, on_loss
        )

    def event_follower(self) -> EventFollower:
        """One that hears what happens from this call on, a moment at a time: for whoever watches beside other work."""
        from pycloud.client.events import EventLog

        return EventLog(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT).follower()

    def health(self, *, timeout: float | None = None) -> HealthSnapshot:
        """How Redis and the clouds are just now: cheap enough to be read every second."""
        from pycloud.client.pulse import read_health

        return read_health(self._command_pool, self._keys, timeout or self.timeout or DEFAULT_TIMEOUT)

    def diagnose(self) -> DiagnosticReport:
        """What is to be known of Redis and the clouds when something is wrong; takes some seconds."""
        from pycloud.client.examine import Diagnostics

        return Diagnostics(self._subscribe_pool, self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT).run()

    clouds = deprecated(nodes, "Client.clouds", "Client.nodes")
    known_clouds = deprecated(known_nodes, "Client.known_clouds", "Client.known_nodes")
    pulse = deprecated(health, "Client.pulse", "Client.health")
    examine = deprecated(diagnose, "Client.examine", "Client.diagnose")
    follower = deprecated(event_follower, "Client.follower", "Client.event_follower")
