"""Who does what about a request: this cloud now, this cloud later, or others. Decided here, carried out elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any

import gevent
from gevent.pool import Group

from pycloud.absent import Absent
from pycloud.cloud import Cloud
from pycloud.decoding import Refused
from pycloud.errors import NoCapacity, RequestError
from pycloud.messages import CreateRequest, LogsRequest, RemoveRequest, Request, StatusRequest
from pycloud.names import owner_of
from pycloud.repeats import Repeats
from pycloud.sessions import Session
from pycloud.standby import Standby
from pycloud.view import View

log = logging.getLogger(__name__)

#: Seconds after which all clouds that live have told a Redis that was started again what it may have forgotten.
TELLING = 3.0

Act = Callable[[], Any]


class Heard(Enum):
    """How a request came to us, in words for the log."""

    PUBLISHED = "a request channel"
    REPEATED = "a request channel, again"
    DIRECTLY = "the direct channel"
    LAPSED = "the lapsed claims"  # its claimant fell silent; all clouds look at these
    LAPSED_OURS = "our lapsed claims"  # its claimant was this cloud: after a restart of Redis nobody else may finish it
    LEFT = "standby"  # nobody had claimed it in time
    LEFT_TO_US = "standby, as the next"  # the same, and we are the next to try
    REPEAT_LEFT_TO_US = "standby, as the next, again"  # a repeat that the first one may not have answered

    @property
    def replay(self) -> float | None:
        """For how long (s) a stored answer must not have been published again for us to do so; None: we do not."""
        return {Heard.REPEATED: 0.0, Heard.DIRECTLY: 0.0, Heard.REPEAT_LEFT_TO_US: 1.0}.get(self)


LAPSED = (Heard.LAPSED, Heard.LAPSED_OURS)


class Router:
    """``draining``: this cloud takes no creates any more."""

    def __init__(self, cloud: Cloud, view: View, absent: Absent, standby: Standby) -> None:
        self._cloud, self._view, self._absent, self._standby = cloud, view, absent, standby
        self._work = Group()
        self._repeats = Repeats()
        self.draining = False
        self._forgetful_until = 0.0

    def route(self, item: Request | Refused, payload: bytes, heard: Heard, round_: int = 0) -> None:
        """Do what there is to do. Never waits."""
        known = heard in (Heard.PUBLISHED, *LAPSED) and self._repeats.heard(_op(item), item.id)
        if heard is Heard.PUBLISHED and known:
            heard = Heard.REPEATED
        if isinstance(item, LogsRequest):
            self.spawn(self._cloud.logs, item)
        elif isinstance(item, StatusRequest | RemoveRequest) and item.session in self._cloud.sessions:
            self._answer_as_owner(item, payload, heard)
        else:
            place, act = self._place(item, payload, heard)
            self._settle(item, payload, heard, round_, place, act)

    def mind_new_server(self) -> None:
        """Redis was started again: until all clouds have told it what they answered, a repeated create may look new."""
        self._forgetful_until = monotonic() + TELLING

    def know(self, session: Session) -> None:
        """What was adopted has been asked for before: who asks again is answered again."""
        self._repeats.heard(CreateRequest.op, session.request)

    def finish(self, timeout: float) -> None:
        """Wait for what is being worked on, at most ``timeout`` seconds."""
        self._work.join(timeout)

    def _settle(
        self, item: Request | Refused, payload: bytes, heard: Heard, round_: int, place: int | None, act: Act
    ) -> None:
        """Act at once where we come first, and are sure of what we know; otherwise later, or never."""
        now = monotonic()
        if heard is Heard.REPEATED and isinstance(item, CreateRequest) and now < self._forgetful_until:
            self._standby.keep(place, item, payload, repeat=True, patient=True)
            return
        first = place == 0 and self._view.sure(now)
        if first or heard in (Heard.DIRECTLY, Heard.LAPSED_OURS, Heard.LEFT_TO_US, Heard.REPEAT_LEFT_TO_US):
            self.spawn(act)
        elif heard is not Heard.LAPSED:
            self._standby.keep(place, item, payload, round_, repeat=heard is Heard.REPEATED)

    def _place(self, item: Request | Refused, payload: bytes, heard: Heard) -> tuple[int | None, Act]:
        """Our place among those who care for a request, and what the one does who takes it."""
        now = monotonic()
        if isinstance(item, Refused):
            refuse = self._cloud.claiming.refuse_undecoded
            return self._view.speaker(now), partial(refuse, item, payload, replay=heard.replay)
        if isinstance(item, CreateRequest):
            return self._place_create(item, payload, heard, now)
        assert isinstance(item, StatusRequest | RemoveRequest)
        owner = owner_of(item.session)
        if owner is not None and owner != self._view.own and self._view.lives(owner, now):
            return None, _nothing
        place = 0 if owner == self._view.own else self._view.speaker(now)
        return place, partial(self._absent.answer, item, payload, replay=heard.replay)

    def _place_create(self, request: CreateRequest, payload: bytes, heard: Heard, now: float) -> tuple[int | None, Act]:
        if heard is Heard.DIRECTLY:
            full = self.draining or (self._cloud.capacity is not None and self._cloud.load >= self._cloud.capacity)
            error: RequestError | None = NoCapacity("this cloud is full or draining") if full else None
            place: int | None = 0
        else:
            place, error = self._view.place(request, now, count=heard in (Heard.PUBLISHED, Heard.REPEATED))
        if error is not None:
            return place, partial(self._cloud.claiming.refuse, request, payload, error, replay=heard.replay)
        return place, partial(self._create, request, payload, heard)

    def _create(self, request: CreateRequest, payload: bytes, heard: Heard) -> None:
        if heard in LAPSED:
            log.warning("taking over create %.80r: the cloud that claimed it fell silent", request.id)
        if not self._cloud.create(request, payload, replay=heard.replay):
            # We are full after all, and so may the others be who come next: whoever comes first then answers that.
            self._standby.keep(self._view.speaker(monotonic()), request, payload)

    def _answer_as_owner(self, request: StatusRequest | RemoveRequest, payload: bytes, heard: Heard) -> None:
        session, now = self._cloud.sessions[request.session], monotonic()
        if isinstance(request, RemoveRequest):
            self.spawn(partial(self._cloud.remove, session, request, payload, replay=heard.replay))
        elif self._view.sure(now):
            self._cloud.status(session, request, valid=self._view.sure_until() - now)
        else:
            self.spawn(self._cloud.status_with_claim, session, request, payload)

    def spawn(self, work: Callable[..., Any], *args: Any) -> None:
        """Carry something out in a greenlet of its own, which a stop waits for."""
        self._work.start(gevent.Greenlet(_guarded, work, *args))


def _guarded(work: Callable[..., Any], *args: Any) -> None:
    try:
        work(*args)
    except Exception:
        # A bug or a refusal of Redis: said with its place, and the other requests go on.
        log.exception("a request could not be carried out")


def _op(item: Request | Refused) -> str:
    return item.request.op if isinstance(item, Refused) else item.op


def _nothing() -> None:
    """What there is to do about a request that is another cloud's."""
