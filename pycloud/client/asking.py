"""Requests of a client: each sent, awaited, and its answer decoded. How that is done is in ``request.py``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from pycloud.client.answer import Answer, Created, decoded, output_of
from pycloud.client.ask import checked_timeout, make_ask
from pycloud.client.exchange import Exchange, OnProgress
from pycloud.client.progress import Output
from pycloud.config import DEFAULT_REDIS
from pycloud.protocol.keys import DEFAULT_NAMESPACE, Names
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
from pycloud.transport.blocking import Lines
from pycloud.transport.url import check_database, hide_password

if TYPE_CHECKING:
    from pycloud.client.following import Following, OnLoss

DEFAULT_TIMEOUT = 10.0
#: A session that does not heed SIGTERM has its cloud's ``stop_grace``, 10 seconds by default, before it is killed.
REMOVE_TIMEOUT = 30.0
ID_BYTES = 10


def ignore(_news: object) -> None:
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
        self.timeout = None if timeout is None else checked_timeout(timeout)
        self._names = Names(namespace)
        self._ears, self._mouths = Lines(url), Lines(url)

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
        wishes = {
            "env": dict(env or {}) or None,
            "where": dict(where or {}) or None,
            "cloud": cloud,
            "runtime": runtime,
            "name": name,
            "labels": dict(labels or {}) or None,
        }
        fields: dict[str, Any] = {"script": script, **{name: wish for name, wish in wishes.items() if wish is not None}}
        answer = self.request(CreateRequest.op, fields, id=id, timeout=timeout, on_progress=on_progress).accepted()
        return decoded(answer.raw, Created)

    def status(self, session: str, *, timeout: float | None = None) -> StatusResponse:
        """What has become of ``session``: ``status`` is true while it lives, false also where nobody knows it."""
        answer = self.request(StatusRequest.op, {"session": session}, timeout=timeout).accepted()
        return msgspec.convert(answer.response, StatusResponse)

    def remove(self, session: str, *, id: str | None = None, timeout: float | None = None) -> RemoveResponse:
        """End ``session`` and delete what is left of it; returns when it is gone.

        ``status`` of the answer is false where there was nothing to remove.
        """
        answer = self.request(RemoveRequest.op, {"session": session}, id=id, timeout=timeout).accepted()
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
            with self.follow_logs(session, lines=lines, since=since, follow=False, timeout=timeout) as pieces:
                return b"".join(piece.data for piece in pieces if isinstance(piece, Output))
        answer = self.request(LogsRequest.op, {"session": session, "bytes": max_bytes}, timeout=timeout).accepted()
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
        on_loss: OnLoss = ignore,
    ) -> Following:
        """The output of ``session`` as it grows, until the session ends: an iterator of ``Output``, ``Skipped`` and, as
        the last, ``Ended`` (see ``pycloud.client.progress``). Close it, or use it in a ``with`` block.

        It begins at byte ``offset``, with the newest ``tail`` bytes or ``lines`` lines, or with what was written
        ``since`` (Unix seconds; containers only); with the newest 64 KiB where nothing is said. ``follow`` False: it
        ends where the output ends now. Who reads slowly does not slow the session down, and misses what is not kept any
        more: ``Skipped``. Restarts of Redis and of its cloud are sat out; ``on_loss`` is called with the error when the
        stream is lost, and with None when it goes on. Raises what ``logs`` raises, to begin with.
        """
        from pycloud.client.following import Following  # requests need none of it

        wishes: dict[str, Any] = {"offset": offset, "tail": tail, "lines": lines, "since": since}
        fields = {name: wish for name, wish in wishes.items() if wish is not None}
        fields |= {} if follow else {"once": True}
        lines_ = (self._ears, self._mouths, self._names)
        return Following(*lines_, session, fields, self._seconds(FollowRequest.op, timeout), on_loss)

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
        ask = make_ask(op, fields, secrets.token_hex(ID_BYTES) if id is None else id)
        timeout = self._seconds(op, timeout)
        raw = Exchange(self._ears, self._mouths, self._names, ask, timeout, on_progress).run()
        return Answer(raw, decoded(raw, RESPONSES[op]))

    def _seconds(self, op: str, timeout: float | None) -> float:
        """How long a request may take: as said for it, or for all, or by default."""
        if timeout is not None:
            return checked_timeout(timeout)
        return self.timeout or (REMOVE_TIMEOUT if op == RemoveRequest.op else DEFAULT_TIMEOUT)

    def close(self) -> None:
        """Close all connections. The client cannot be used afterwards."""
        self._ears.close()
        self._mouths.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
