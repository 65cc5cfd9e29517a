"""The blocking Python client: start sessions on a PyCloud, ask about them, end them.

A documented library (README.md, "As a library") and what ``pycloudctl`` is made of. Loads neither gevent nor docker,
and nothing of the daemon. How a request is sent and awaited is in ``request.py``.
"""

from __future__ import annotations

import base64
import math
import secrets
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
from msgspec import UNSET

from pycloud.client.ask import checked_timeout, make_ask
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
from pycloud.client.line import Lines
from pycloud.client.records import Records, SessionRecord
from pycloud.client.request import Exchange, OnProgress
from pycloud.config import DEFAULT_REDIS
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.messages import (
    DEFAULT_TAIL,
    CreateRequest,
    CreateResponse,
    LogsRequest,
    LogsResponse,
    Rank,
    RemoveRequest,
    RemoveResponse,
    Response,
    StatusRequest,
    StatusResponse,
)
from pycloud.names import DEFAULT_NAMESPACE, Names
from pycloud.redis_url import check_database

if TYPE_CHECKING:
    from pycloud.client.events import OnLoss, Told
    from pycloud.client.examine import Facts

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

DEFAULT_TIMEOUT = 10.0
#: A session that does not heed SIGTERM has its cloud's ``stop_grace``, 10 seconds by default, before it is killed.
REMOVE_TIMEOUT = 30.0
ID_BYTES = 10

T = TypeVar("T")

RESPONSES: dict[str, type[Response]] = {
    CreateRequest.op: CreateResponse,
    StatusRequest.op: StatusResponse,
    RemoveRequest.op: RemoveResponse,
    LogsRequest.op: LogsResponse,
}


def _ignore(_news: object) -> None:
    """Nobody wants to hear of it."""


class Created(CreateResponse, frozen=True, kw_only=True):
    """The answer to a create that succeeded: there is a session, and ``id`` is its id."""

    id: str


@dataclass(frozen=True)
class Answer:
    """What came back: ``raw`` as it came (UTF-8 JSON), and the same as ``response``. May be a refusal."""

    raw: bytes
    response: Response

    def accepted(self) -> Self:
        """This answer; raises RequestRefused where it is a refusal."""
        error = self.response.error
        if error is not UNSET:
            raise RequestRefused(error.code, error.message, self.response)
        return self


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
        self.timeout = None if timeout is None else checked_timeout(timeout)
        self._names = Names(namespace)
        self._ears, self._mouths = Lines(url), Lines(url)
        self._records = Records(self._mouths, self._names, self.timeout or DEFAULT_TIMEOUT)

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
        on_progress: OnProgress = _ignore,
    ) -> Created:
        """Start ``script`` as a session; returns when it runs: ``id``, ``cloud``, ``host``, ``port``, ``state``.

        ``env`` is added to its environment. ``where`` names labels that its cloud must have, ``cloud`` the one cloud
        (10 hex digits) that shall take it, ``runtime`` what it shall be (``script`` or ``docker``; None: what it looks
        like). While its image is pulled, ``on_progress`` is called with an event ``session.pulling`` about once a
        second, and ``timeout`` counts from the last of them. ``id`` names the request: the same id with the same
        arguments again is the same request, and starts nothing new. A script over 16 MiB is refused without asking
        anybody.
        """
        wishes = {
            "env": dict(env or {}) or None,
            "where": dict(where or {}) or None,
            "cloud": cloud,
            "runtime": runtime,
        }
        fields: dict[str, Any] = {"script": script, **{name: wish for name, wish in wishes.items() if wish is not None}}
        answer = self.request(CreateRequest.op, fields, id=id, timeout=timeout, on_progress=on_progress).accepted()
        return _decode(answer.raw, Created)

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

    def logs(self, session: str, *, max_bytes: int = DEFAULT_TAIL, timeout: float | None = None) -> bytes:
        """The newest ``max_bytes`` of the output of ``session``, exactly as written.

        Only the cloud that owns the session can tell: NoCloud where that one is away. Raises ValueError where
        ``session`` is no session id, NotFound (a LookupError) where its cloud knows no such session.
        """
        answer = self.request(LogsRequest.op, {"session": session, "bytes": max_bytes}, timeout=timeout).accepted()
        return output_of(msgspec.convert(answer.response, LogsResponse))

    def wait(self, session: str, *, timeout: float | None = None) -> StatusResponse:
        """Wait until ``session`` lives no more; what has become of it: ``state``, ``exit_code``, ``reason``.

        Where nobody knows it (any more), ``state`` is not set. One that is ``lost`` counts as ended, though it may come
        back. Restarts of Redis and of its cloud are sat out. ``timeout``: seconds, at most a day; None: for ever.
        Raises NotEnded when the time is up, and NoCloud or NoAnswer where nobody can tell to begin with.
        """
        from pycloud.client import waiting
        from pycloud.client.events import Events

        until = math.inf if timeout is None else time.monotonic() + checked_timeout(timeout)
        patience = self.timeout or DEFAULT_TIMEOUT
        follower = Events(self._mouths, self._names, patience).follower()
        return waiting.wait(session, lambda seconds: self.status(session, timeout=seconds), follower, until)

    def sessions(self, *, clouds: Collection[str] = (), states: Collection[str] = ()) -> Iterator[SessionRecord]:
        """All sessions known, oldest first, read from Redis page by page while you iterate.

        ``clouds``, ``states``: of those only, unless empty. A record is ``stale`` where its cloud is away.
        """
        return self._records.sessions(clouds, states)

    def session_ids(self, *, clouds: Collection[str] = ()) -> Iterator[str]:
        """The ids of all sessions known, oldest first: quicker than ``sessions()``."""
        return self._records.session_ids(clouds)

    def records(self, sessions: Sequence[str]) -> list[SessionRecord]:
        """What is recorded of these sessions (at most some hundreds); nothing of those that nobody knows."""
        return list(self._records.records(sessions))

    def clouds(self) -> list[Rank]:
        """What each living cloud last said of itself, by id."""
        return self._records.clouds()

    def events(
        self, since: float | None = None, follow: bool = False, *, last: int | None = None, on_loss: OnLoss = _ignore
    ) -> Iterator[Told]:
        """What happened, oldest first: from ``since`` on (Unix seconds; None: all that Redis remembers), at most the
        newest ``last``.

        ``follow``: and then what happens, without end, over restarts of Redis; with neither ``since`` nor ``last`` only
        what happens from this call on. ``on_loss`` is called with the error when Redis is lost, and with None when it
        is back. Each is an ``Event``, and has its JSON as it came in ``raw``.
        """
        from pycloud.client.events import Events  # requests need none of it

        return Events(self._mouths, self._names, self.timeout or DEFAULT_TIMEOUT).read(since, last, follow, on_loss)

    def examine(self) -> Facts:
        """What is to be known of Redis and the clouds when something is wrong; takes some seconds."""
        from pycloud.client.examine import Examiner

        return Examiner(self._ears, self._mouths, self._names, self.timeout or DEFAULT_TIMEOUT).examine()

    def request(
        self,
        op: str,
        fields: Mapping[str, Any],
        *,
        id: str | None = None,
        timeout: float | None = None,
        on_progress: OnProgress = _ignore,
    ) -> Answer:
        """Send any request and wait for its answer, which may be a refusal.

        ``op`` is create, status, remove or logs, ``fields`` its keys beside ``id``. For what the methods above do not
        offer: keys of a newer cloud, the answer as it came. Raises ValueError and TypeError for a request that no cloud
        could use.
        """
        ask = make_ask(op, fields, secrets.token_hex(ID_BYTES) if id is None else id)
        timeout = self._seconds(op, timeout)
        raw = Exchange(self._ears, self._mouths, self._names, ask, timeout, on_progress).run()
        return Answer(raw, _decode(raw, RESPONSES[op]))

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


def output_of(response: LogsResponse) -> bytes:
    """The output that a response carries. Raises NotFound where the cloud knows no such session."""
    if not response.status:
        raise NotFound(f"cloud {response.cloud} knows no session {response.id}")
    data = response.data or ""
    return base64.b64decode(data) if response.encoding == "base64" else data.encode()


def _decode(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"an answer came that no cloud would give: {error}") from error
