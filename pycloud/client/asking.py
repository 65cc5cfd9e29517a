"""Requests of a client: each sent, awaited, and its answer decoded. How that is done is in ``request.py``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from pycloud.client.answer import Answer, Created, decode_response, output_of
from pycloud.client.ask import build_request, validate_timeout
from pycloud.client.exchange import Exchange, OnProgress
from pycloud.client.progress import Output
from pycloud.config import DEFAULT_REDIS
from pycloud.protocol.keys import DEFAULT_NAMESPACE, Keys
from pycloud.protocol.log_stream import FollowRequest
from pycloud.protocol.messages import (
    DEFAULT_TAIL,
    RESPONSES,
    CreateRequest,
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
    from pycloud.client.following import LogFollower, OnStreamLoss

DEFAULT_TIMEOUT = 10.0
#: A session that does not heed SIGTERM has its cloud's ``stop_grace``, 10 seconds by default, before it is killed.
REMOVE_TIMEOUT = 30.0
REQUEST_ID_BYTES = 10


def ignore(_argument: object) -> None:
    """Nobody wants to hear of it."""


class Requester:
    """What a client asks of clouds: see ``Client``, which is what others use."""

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
        the last, ``Ended`` (see ``pycloud.client.progress``). Close it, or use it in a ``with`` block.

        It begins at byte ``offset``, with the newest ``tail`` bytes or ``lines`` lines, or with what was written
        ``since`` (Unix seconds; containers only); with the newest 64 KiB where nothing is said. ``follow`` False: it
        ends where the output ends now. Who reads slowly does not slow the session down, and misses what is not kept any
        more: ``Skipped``. Restarts of Redis and of its cloud are sat out; ``on_loss`` is called with the error when the
        stream is lost, and with None when it goes on. Raises what ``logs`` raises, to begin with.
        """
        from pycloud.client.following import LogFollower  # requests need none of it

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
