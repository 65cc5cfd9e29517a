"""The blocking Python client: starts sessions on PyCloud nodes, queries them, ends them.

A documented library (docs/client.md) and the basis of ``pycloudctl``. Loads neither gevent nor docker, and
nothing of the daemon. Modules that only some requests need are imported where they are used, so that pycloudctl starts
faster.
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
    DrainResponse,
    Heartbeat,
    InspectResponse,
    LogsResponse,
    RemoveResponse,
    StatusResponse,
)
from pycloud.protocol.requests import (
    DEFAULT_TAIL,
    REQUESTS,
    CreateRequest,
    DrainRequest,
    FollowRequest,
    InspectRequest,
    LogsRequest,
    RemoveRequest,
    StatusRequest,
)
from pycloud.transport.blocking import DeadlineConnectionPool
from pycloud.transport.url import check_database, hide_password

if TYPE_CHECKING:
    from pycloud.client.events import EventFollower, EventRecord, OnRedisLoss
    from pycloud.client.health import DiagnosticReport, HealthSnapshot
    from pycloud.client.logs import LogFollower, OnStreamLoss
    from pycloud.client.records import KnownNode

DEFAULT_TIMEOUT = 10.0
#: Seconds: a session that ignores SIGTERM is killed after its node's ``stop_grace``, 10 seconds by default.
REMOVE_TIMEOUT = 30.0
REQUEST_ID_BYTES = 10

T = TypeVar("T")


def ignore(_argument: object) -> None:
    """Does nothing: the default for callbacks."""


class Client:
    """Sends requests to the nodes of one namespace through Redis. Use it in a ``with`` block, or ``close()`` it.

    Several threads may share one. Connects at the first use. Every method raises RedisUnavailable where Redis cannot be
    reached; methods that send a request to a node also raise NoCloud (at once), NoAnswer (after ``timeout`` seconds),
    RequestRefused where the request is rejected, and UnusableAnswer where the response is not one of a node.
    """

    def __init__(
        self, url: str = DEFAULT_REDIS, *, namespace: str = DEFAULT_NAMESPACE, timeout: float | None = None
    ) -> None:
        """``timeout``: seconds that a request may take, at most a day; None: 10, and 30 for a remove.

        Raises ValueError for an invalid URL, namespace or timeout.
        """
        check_database(url, namespace)
        #: The URL of its Redis, without the password.
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

        ``env`` is added to its environment. ``where``: labels that its node must have; ``cloud``: id (10 hex digits) of
        the one node that is to take it; ``runtime``: ``script`` or ``docker`` (None: derived from the script). ``name``
        is unique among live sessions: RequestRefused with the code ``name_taken`` where another one has it. ``labels``
        are for finding it with ``sessions()``. While its image is pulled, ``on_progress`` is called with an event
        ``session.pulling`` about once a second, and ``timeout`` counts from the last of them. ``id`` is the request's:
        the same id with the same arguments is the same request, and starts no new session. A script over 16 MiB is
        rejected without sending a request.
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
        """The state of ``session``: ``status`` is true while it is live, false also where no node knows it."""
        answer = self.request(StatusRequest.op, {"session": session}, timeout=timeout).raise_for_error()
        return msgspec.convert(answer.response, StatusResponse)

    def remove(self, session: str, *, id: str | None = None, timeout: float | None = None) -> RemoveResponse:
        """End ``session`` and delete its data; returns when it is gone.

        ``status`` of the response is false where there was nothing to remove.
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
        """The newest ``max_bytes`` of the output of ``session``, or the part selected by ``lines`` or ``since``.

        Returned exactly as written. ``lines``: the newest lines; ``since``: the output from that time on (see
        ``follow_logs``); both as far as the output is retained.

        Only the node that owns the session can answer: raises NoCloud where that is offline, ValueError where
        ``session`` is not a session id, NotFound (a LookupError) where its node has no such session.
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
        """An iterator over the output of ``session`` as it grows, until the session ends.

        It yields ``Output``, ``Skipped`` and, as the last item, ``Ended``. Close it, or use it in a ``with`` block.

        It begins at byte ``offset``, with the newest ``tail`` bytes or ``lines`` lines, or with output written
        ``since`` (Unix seconds; containers only); without any of these, with the newest 64 KiB. ``follow`` False: it
        ends where the output ends now. A slow reader does not slow the session down; output that is no longer retained
        when it is read is reported as ``Skipped``. Restarts of Redis and of the session's node are bridged; ``on_loss``
        is called with the error when the stream is lost, and with None when it continues. At the start it raises the
        same errors as ``logs``.
        """
        from pycloud.client.logs import LogFollower  # requests do not need it

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
        """Send any request and return its response, which may be an error.

        ``op`` is a request in docs/protocol.md, ``fields`` its keys beside ``id``. For features that the methods above
        do not offer: keys of a newer node, or the response as received. Raises ValueError and TypeError for a request
        that no node could use.
        """
        ask = build_request(op, fields, secrets.token_hex(REQUEST_ID_BYTES) if id is None else id)
        timeout = self._timeout_for(op, timeout)
        raw = Exchange(self._subscribe_pool, self._command_pool, self._keys, ask, timeout, on_progress).run()
        return Answer(raw, decode_response(raw, REQUESTS[op].response))

    def _timeout_for(self, op: str, timeout: float | None) -> float:
        """The seconds that a request may take: its own timeout, the client's, or the default."""
        if timeout is not None:
            return validate_timeout(timeout)
        return self.timeout or (REMOVE_TIMEOUT if op == RemoveRequest.op else DEFAULT_TIMEOUT)

    @cached_property
    def _record_reader(self) -> RecordReader:
        return RecordReader(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT)

    def wait(self, session: str, *, timeout: float | None = None) -> StatusResponse:
        """Wait for the end of ``session``; returns its status with ``state``, ``exit_code`` and ``reason``.

        Where no node knows it (any more), ``state`` is not set. A ``lost`` session counts as ended, though it may come
        back. Restarts of Redis and of its node are bridged. ``timeout``: seconds, at most a day; None: no limit. Raises
        NotEnded at the timeout, and NoCloud or NoAnswer where no node answers at the start.
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
        """All sessions on record, oldest first, read from Redis page by page during the iteration.

        ``clouds``: only sessions of these nodes; ``states``: only in these states (empty: any). ``labels``: only
        sessions that have all of them. ``name``: only names that match this pattern (``web-*``). A record is ``stale``
        where its node is offline.
        """
        return self._record_reader.sessions(clouds, record_filter(states, labels, name))

    def session_named(self, name: str) -> str | None:
        """The id of the session that has this name, or had it last and is retained; otherwise None."""
        return self.sessions_named([name]).get(name)

    def sessions_named(self, names: Sequence[str]) -> dict[str, str]:
        """As ``session_named`` for several names, in one read: ids by name; names without a session are missing."""
        return self._record_reader.session_ids_by_name(names)

    def session_ids(self, *, clouds: Collection[str] = ()) -> Iterator[str]:
        """The ids of all sessions on record, oldest first: faster than ``sessions()``.

        ``clouds``: only sessions of these nodes, unless empty.
        """
        return self._record_reader.session_ids(clouds)

    def session_names(self) -> Iterator[tuple[str, str]]:
        """The id and the name (empty: none) of each session on record: also faster than ``sessions()``.

        Several ended sessions may have had the same name.
        """
        return self._record_reader.session_names()

    def records(self, sessions: Sequence[str]) -> list[SessionRecord]:
        """The records of these sessions (at most some hundreds); sessions without a record are left out."""
        return list(self._record_reader.records(sessions))

    def nodes(self) -> list[Heartbeat]:
        """The last heartbeat of each online node, by id."""
        return self._record_reader.live_heartbeats()

    def known_nodes(self) -> list[KnownNode]:
        """Every node with a heartbeat in the last week, by id; ``heartbeat`` of an offline node is None."""
        from pycloud.client.records import known_nodes

        return known_nodes(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT)

    def drain(self, cloud: str, draining: bool = True, *, timeout: float | None = None) -> DrainResponse:
        """Make the node ``cloud`` (id, 10 hex digits) take no new sessions, or (``draining`` False) take them again.

        Returns when that is in effect and the other nodes have been informed; ``sessions`` is how many are live there.
        The setting survives a restart of the daemon. Raises NoCloud where the node is offline, ValueError where
        ``cloud`` is not a node id.
        """
        answer = self.request(
            DrainRequest.op, {"cloud": cloud, "draining": draining}, timeout=timeout
        ).raise_for_error()
        return msgspec.convert(answer.response, DrainResponse)

    def inspect(self, session: str, *, timeout: float | None = None) -> InspectResponse:
        """Everything that its node knows about ``session``, and its present resource usage (``figures``).

        Where its node is offline, its record, with ``stale`` true. Raises NotFound (a LookupError) where there is no
        such session, ValueError where ``session`` is not a session id.
        """
        try:
            answer = self.request(InspectRequest.op, {"session": session}, timeout=timeout).raise_for_error()
        except NoCloud as error:
            return inspection_from_record(session, self.records([session]), error)
        return require_known(msgspec.convert(answer.response, InspectResponse))

    def watch(
        self, look: Callable[[], T], *, every: float = 5.0, timeout: float | None = None, on_loss: OnRedisLoss = ignore
    ) -> Iterator[T]:
        """Yield the value of ``look()``: now, after each event, and at the latest every ``every`` seconds.

        Restarts of Redis are bridged, with calls of ``on_loss`` as in ``events``. Ends after ``timeout`` seconds (None:
        never); raises RedisUnavailable where Redis is unavailable by then.
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
        """Events, oldest first, at most the newest ``last``, from ``since`` on (Unix seconds; None: all in Redis).

        ``follow``: then also new events, without end, over restarts of Redis; with neither ``since`` nor ``last`` only
        events after this call. ``on_loss`` is called with the error when Redis is lost, and with None when it is back.
        Each item is an ``Event`` with its JSON as received in ``raw``.
        """
        from pycloud.client.events import EventLog  # requests do not need it

        return EventLog(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT).read(
            since, last, follow, on_loss
        )

    def event_follower(self) -> EventFollower:
        """A follower of the events after this call, for polling beside other work."""
        from pycloud.client.events import EventLog

        return EventLog(self._command_pool, self._keys, self.timeout or DEFAULT_TIMEOUT).follower()

    def health(self, *, timeout: float | None = None) -> HealthSnapshot:
        """The present health of Redis and the nodes: cheap enough to be read every second."""
        from pycloud.client.health import read_health

        return read_health(self._command_pool, self._keys, timeout or self.timeout or DEFAULT_TIMEOUT)

    def diagnose(self) -> DiagnosticReport:
        """A diagnostic report of Redis and the nodes, for troubleshooting; takes some seconds."""
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
