"""The blocking Python client: start sessions on a PyCloud, ask about them, end them.

A documented library (README.md, "As a library") and what ``pycloudctl`` is made of. Loads neither gevent nor docker,
and nothing of the daemon. What a request only sometimes needs is imported where it is used: pycloudctl starts faster.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from pycloud.client.deprecated import deprecated
from pycloud.client.errors import (
    NoCloud,
)
from pycloud.client.exchange import Exchange, OnProgress
from pycloud.client.records import RecordReader, SessionRecord, inspection_from_record, record_filter
from pycloud.client.request import (
    Answer,
    Created,
    build_request,
    decode_response,
    output_of,
    require_known,
    validate_timeout,
)
from pycloud.config import DEFAULT_REDIS
from pycloud.protocol.keys import DEFAULT_NAMESPACE, Keys
from pycloud.protocol.messages import (
    DEFAULT_TAIL,
    RESPONSES,
    CreateRequest,
    DrainRequest,
    DrainResponse,
    FollowRequest,
    Heartbeat,
    InspectRequest,
    InspectResponse,
    LogsRequest,
    LogsResponse,
    RemoveRequest,
    RemoveResponse,
    StatusRequest,
    StatusResponse,
)
from pycloud.transport.blocking import DeadlineConnectionPool
from pycloud.transport.url import check_database, hide_password

if TYPE_CHECKING:
    from pycloud.client.events import EventFollower, EventRecord, OnRedisLoss
    from pycloud.client.health import DiagnosticReport, HealthSnapshot
    from pycloud.client.logs import LogFollower, OnStreamLoss
    from pycloud.client.records import KnownNode

DEFAULT_TIMEOUT = 10.0
#: A session that does not heed SIGTERM has its cloud's ``stop_grace``, 10 seconds by default, before it is killed.
REMOVE_TIMEOUT = 30.0
REQUEST_ID_BYTES = 10

T = TypeVar("T")


def ignore(_argument: object) -> None:
    """Nobody wants to hear of it."""


class Client:
    """Talks to the clouds of one namespace through Redis. Use it in a ``with`` block, or ``close()`` it.

    Several threads may share one. Connects when it is first used. Every method raises RedisUnavailable where Redis
    cannot be reached; those that ask a cloud also raise NoCloud (at once), NoAnswer (after ``timeout`` seconds),
    RequestRefused, and UnusableAnswer where somebody else than a cloud has answered.
    """

    def __init__(
        self, url: str = DEFAULT_REDIS, *, namespace: str = DEFAULT_NAMESPACE, timeout: float | None = None
    ) -> None:
        """``timeout``: seconds that a request may take, at most a day; None: 10, and 30 for a remove.

        Raises ValueError for a URL, a namespace or a timeout of no use.
        """
        check_database(url, namespace)
        #: Where its Redis is, without the password.
        self.url = hide_password(url)
        self.timeout = None if timeout is None else validate_timeout(timeout)
        self._keys = Keys(namespace)
        self._subscribe_pool, self._command_pool = DeadlineConnectionPool(url), DeadlineConnectionPool(url)

    def create(
        self,
        script: str,
        env: Mapping[str, str] | None = None,
        id: str | None = None,
        timeout: float | None = None,
        *,
        where: Mapping[str, str] | None = None,
        cloud: str | None = None,
        runtime: str | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        on_progress: OnProgress = ignore,
    ) -> Created:
        """Start ``script`` as a session; returns when it runs: ``id``, ``cloud``, ``host``, ``port``, ``state``.

        ``env`` is added to its environment. ``where`` names labels that its cloud must have, ``cloud`` the one cloud
        (10 hex digits) that shall take it, ``runtime`` what it shall be (``script`` or ``docker``; None: what it looks
        like). ``name`` is unique among sessions that live: RequestRefused with the code ``name_taken`` where another
        has it. ``labels`` are for ``sessions()`` to find it by. While its image is pulled, ``on_progress`` is called
        with an event ``session.pulling`` about once a second, and ``timeout`` counts from the last of them. ``id``
        names the request: the same id with the same arguments again is the same request, and starts nothing new. A
        script over 16 MiB is refused without asking anybody.
        """
        optional_fields = {
            "env": dict(env or {}) or None,
            "where": dict(where or {}) or None,
            "cloud": cloud,
            "runtime": runtime,
            "name": name,
            "labels": dict(labels or {}) or None,
        }
        fields: dict[str, Any] = {
            "script": script,
            **{name: value for name, value in optional_fields.items() if value is not None},
        }
        answer = self.request(
            CreateRequest.op, fields, id=id, timeout=timeout, on_progress=on_progress
        ).raise_for_error()
        return decode_response(answer.raw, Created)

    def status(self, session: str, *, timeout: float | None = None) -> StatusResponse:
        """What has become of ``session``: ``status`` is true while it lives, false also where nobody knows it."""
        answer = self.request(StatusRequest.op, {"session": session}, timeout=timeout).raise_for_error()
        return msgspec.convert(answer.response, StatusResponse)

    def remove(self, session: str, *, id: str | None = None, timeout: float | None = None) -> RemoveResponse:
        """End ``session`` and delete what is left of it; returns when it is gone.

        ``status`` of the answer is false where there was nothing to remove.
        """
        answer = self.request(RemoveRequest.op, {"session": session}, id=id, timeout=timeout).raise_for_error()
        return msgspec.convert(answer.response, RemoveResponse)

    def logs(
        self,
        session: str,
        *,
        max_bytes: int = DEFAULT_TAIL,
        lines: int | None = None,
        since: float | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """The newest ``max_bytes`` of the output of ``session``, exactly as written; or its newest ``lines``, or what
        it wrote ``since`` (see ``follow_logs``), as far as that is kept.

        Only the cloud that owns the session can tell: NoCloud where that one is away. Raises ValueError where
        ``session`` is no session id, NotFound (a LookupError) where its cloud knows no such session.
        """
        if lines is not None or since is not None:
            from pycloud.client.logs import Output

            with self.follow_logs(session, lines=lines, since=since, follow=False, timeout=timeout) as chunks:
                return b"".join(chunk.data for chunk in chunks if isinstance(chunk, Output))
        answer = self.request(
            LogsRequest.op, {"session": session, "bytes": max_bytes}, timeout=timeout
        ).raise_for_error()
        return output_of(msgspec.convert(answer.response, LogsResponse))

    def follow_logs(
        self,
        session: str,
        *,
        offset: int | None = None,
        tail: int | None = None,
        lines: int | None = None,
        since: float | None = None,
        follow: bool = True,
        timeout: float | None = None,
        on_loss: OnStreamLoss = ignore,
    ) -> LogFollower:
        """The output of ``session`` as it grows, until the session ends: an iterator of ``Output``, ``Skipped`` and, as
        the last, ``Ended``. Close it, or use it in a ``with`` block.

        It begins at byte ``offset``, with the newest ``tail`` bytes or ``lines`` lines, or with what was written
        ``since`` (Unix seconds; containers only); with the newest 64 KiB where nothing is said. ``follow`` False: it
        ends where the output ends now. Who reads slowly does not slow the session down, and misses what is not kept any
        more: ``Skipped``. Restarts of Redis and of its cloud are sat out; ``on_loss`` is called with the error when the
        stream is lost, and with None when it goes on. Raises what ``logs`` raises, to begin with.
        """
        from pycloud.client.logs import LogFollower  # requests need none of it

        start_fields: dict[str, Any] = {"offset": offset, "tail": tail, "lines": lines, "since": since}
        fields = {name: value for name, value in start_fields.items() if value is not None}
        fields |= {} if follow else {"once": True}
        pools_and_keys = (self._subscribe_pool, self._command_pool, self._keys)
        return LogFollower(*pools_and_keys, session, fields, self._timeout_for(FollowRequest.op, timeout), on_loss)

    def request(
        self,
        op: str,
        fields: Mapping[str, Any],
        *,
        id: str | None = None,
        timeout: float | None = None,
        on_progress: OnProgress = ignore,
    ) -> Answer:
        """Send any request and wait for its answer, which may be a refusal.

        ``op`` is create, status, remove or logs, ``fields`` its keys beside ``id``. For what the methods above do not
        offer: keys of a newer cloud, the answer as it came. Raises ValueError and TypeError for a request that no cloud
        could use.
        """
        ask = build_request(op, fields, secrets.token_hex(REQUEST_ID_BYTES) if id is None else id)
        timeout = self._timeout_for(op, timeout)
        raw = Exchange(self._subscribe_pool, self._command_pool, self._keys, ask, timeout, on_progress).run()
        return Answer(raw, decode_response(raw, RESPONSES[op]))

    def _timeout_for(self, op: str, timeout: float | None) -> float:
        """How long a request may take: as said for it, or for all, or by default."""
        if timeout is not None:
            return validate_timeout(timeout)
        return self.timeout or (REMOVE_TIMEOUT if op == RemoveRequest.op else DEFAULT_TIMEOUT)

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
        from pycloud.client.records import known_nodes

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
        try:
            answer = self.request(InspectRequest.op, {"session": session}, timeout=timeout).raise_for_error()
        except NoCloud as error:
            return inspection_from_record(session, self.records([session]), error)
        return require_known(msgspec.convert(answer.response, InspectResponse))

    def watch(
        self, look: Callable[[], T], *, every: float = 5.0, timeout: float | None = None, on_loss: OnRedisLoss = ignore
    ) -> Iterator[T]:
        """What ``look()`` returns: now, whenever something has happened, and at the latest after ``every`` seconds.

        Over restarts of Redis, of which ``on_loss`` is told as in ``events``. It ends after ``timeout`` seconds (None:
        never), raising RedisUnavailable where Redis is away by then.
        """
        from pycloud.client.events import EventLog, watch

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
        from pycloud.client.health import read_health

        return read_health(self._command_pool, self._keys, timeout or self.timeout or DEFAULT_TIMEOUT)

    def diagnose(self) -> DiagnosticReport:
        """What is to be known of Redis and the clouds when something is wrong; takes some seconds."""
        from pycloud.client.health import Diagnostics

        return Diagnostics(self._subscribe_pool, self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT).run()

    def close(self) -> None:
        """Close all connections. The client cannot be used afterwards."""
        self._subscribe_pool.close()
        self._command_pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    clouds = deprecated(nodes, "Client.clouds", "Client.nodes")
    known_clouds = deprecated(known_nodes, "Client.known_clouds", "Client.known_nodes")
    pulse = deprecated(health, "Client.pulse", "Client.health")
    examine = deprecated(diagnose, "Client.examine", "Client.diagnose")
    follower = deprecated(event_follower, "Client.follower", "Client.event_follower")
