"""Who does what about a request: this cloud now, this cloud later, or others. Decided here, carried out elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any

import gevent
import msgspec
from gevent.pool import Group

from pycloud.cluster.deferred_requests import ROUNDS, Standby
from pycloud.cluster.failover import Absent
from pycloud.cluster.membership import View
from pycloud.cluster.seen_requests import Repeats
from pycloud.errors import NoMatch, RequestError
from pycloud.protocol.decoding import Refused
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import CreateRequest, RemoveRequest, Request, StatusRequest
from pycloud.protocol.session import Session
from pycloud.sessions.manager import Cloud
from pycloud.store.request_claimer import Reception
from pycloud.store.requests import KNOWN, STATUS_LIFE

log = logging.getLogger(__name__)

#: Seconds after which all clouds that live have told a Redis that was started again what it may have forgotten.
TELLING = 3.0

NOBODY_HEARD = NoMatch("no cloud that fits heard this create; ask again")

#: Seconds for which a request counts as just received: a requester repeats it, or gives it up, within about that time.
FRESHNESS = 4.0
#: The same for a status: for less time than its answer is remembered, so that it is not answered twice.
STATUS_FRESHNESS = 0.75 * STATUS_LIFE / 1000

Act = Callable[[], Any]


class Heard(Enum):
    """How a request came to us: in words for the log, and for how long (s) a stored answer must not have been published
    again for us to do so (None: we do not).
    """

    PUBLISHED = "a request channel", None
    REPEATED = "a request channel, again", 0.0
    DIRECTLY = "the direct channel", 0.0
    LAPSED = "the lapsed claims", None  # its claimant fell silent; all clouds look at these
    LAPSED_OURS = "our lapsed claims", None  # it was this cloud: after a restart of Redis nobody else may finish it
    LEFT = "standby", None  # nobody had claimed it in time
    LEFT_TO_US = "standby, as the next", None  # the same, and we are the next to try
    REPEAT_LEFT_TO_US = "standby, as the next, again", 1.0  # a repeat that the first one may not have answered

    def __init__(self, words: str, replay: float | None) -> None:
        self.words, self.replay = words, replay


LAPSED = (Heard.LAPSED, Heard.LAPSED_OURS)
NEWS = (Heard.PUBLISHED, Heard.DIRECTLY, *LAPSED)
LEFT = (Heard.LEFT_TO_US, Heard.REPEAT_LEFT_TO_US)
#: What is done at once, whoever comes first by now.
OURS = (Heard.DIRECTLY, Heard.LAPSED_OURS, *LEFT)
REPEATS = (Heard.REPEATED, Heard.REPEAT_LEFT_TO_US)
#: What may have been answered before Redis was started again.
OLD = (Heard.REPEATED, Heard.LEFT, *LEFT)
#: Requests that are the business of a session's owner.
OF_SESSION = (StatusRequest, RemoveRequest)


class Arrival(msgspec.Struct, frozen=True):
    """A request and how it came; ``round``: how often it was kept and looked at again before."""

    item: Request | Refused
    payload: bytes
    heard: Heard
    round: int
    came: Reception


class Plan(msgspec.Struct, frozen=True):
    """Our place among those who care for a request (None: it is others' business), and what the one does who takes it.

    ``early``: it is too early to act on what we know.
    """

    place: int | None
    act: Act
    early: bool = False


class Router:
    """What comes in is handed to ``cloud``, ``absent`` or ``standby``, by what ``view`` knows."""

    def __init__(self, cloud: Cloud, view: View, absent: Absent, standby: Standby) -> None:
        self._cloud, self._view, self._absent, self._standby = cloud, view, absent, standby
        self._work = Group()
        self._repeats = Repeats()
        self._forgetful_until = 0.0

    def route(
        self, item: Request | Refused, payload: bytes, heard: Heard, round_: int = 0, came: Reception | None = None
    ) -> None:
        """Do what there is to do. Never waits. ``came``: of a request that was kept, how it came to us first."""
        if item.direct_only:
            self.spawn(self._cloud.direct[item.op], item)
            return
        if heard in NEWS and self._repeats.heard(item.op, item.id) and heard is Heard.PUBLISHED:
            heard = Heard.REPEATED
        now = monotonic()
        came = msgspec.structs.replace(came, replay=heard.replay) if came else self._reception(item, heard, now)
        arrival = Arrival(item, payload, heard, round_, came)
        if now > came.known_until:
            log.debug("%s %.80r was kept for too long: others may have answered it, and forgotten", item.op, item.id)
        elif isinstance(item, OF_SESSION) and item.session in self._cloud.sessions:
            self._answer_as_owner(item, arrival)
        else:
            self._settle(arrival, self._plan(arrival, now))

    def mind_new_server(self) -> None:
        """Redis was started again: until all clouds have told it what they answered, a repeated create may look new."""
        self._forgetful_until = monotonic() + TELLING

    def know(self, session: Session) -> None:
        """What was adopted has been asked for before: who asks again is answered again."""
        self._repeats.heard(CreateRequest.op, session.request)

    def finish(self, timeout: float) -> None:
        """Wait for what is being worked on, at most ``timeout`` seconds."""
        self._work.join(timeout)

    def _reception(self, item: Request | Refused, heard: Heard, now: float) -> Reception:
        """How a request came to us that came now: until when it counts as just received, and may be begun at all."""
        if isinstance(item, StatusRequest):
            return Reception(heard.replay, now + STATUS_FRESHNESS, now + STATUS_FRESHNESS)
        if heard in LAPSED:
            return Reception(heard.replay, now + FRESHNESS, now + KNOWN)
        # What a cloud hears before it is sure again may have waited for it while it was frozen.
        fresh_until = now + FRESHNESS if self._view.sure(now) else now
        return Reception(heard.replay, fresh_until, self._view.news_since() + KNOWN)

    def _settle(self, arrival: Arrival, plan: Plan) -> None:
        """Act at once where we come first, and are sure of what we know; otherwise later, or never."""
        now, heard = monotonic(), arrival.heard
        if plan.early or (now < self._forgetful_until and _needs_memory(arrival)):
            self._keep(arrival, plan.place, patient=True)
        elif heard in OURS or (plan.place == 0 and self._view.sure(now)):
            self.spawn(plan.act)
        elif heard is not Heard.LAPSED:
            self._keep(arrival, plan.place)

    def _keep(self, arrival: Arrival, place: int | None, *, patient: bool = False) -> None:
        came, repeat = arrival.came, arrival.heard in REPEATS
        self._standby.keep(place, arrival.item, arrival.payload, came, arrival.round, repeat=repeat, patient=patient)

    def _plan(self, arrival: Arrival, now: float) -> Plan:
        item, payload, came = arrival.item, arrival.payload, arrival.came
        if isinstance(item, Refused):
            act = partial(self._cloud.claiming.refuse_undecoded, item, payload, came)
            return Plan(self._view.speaker(now), act)
        if isinstance(item, CreateRequest):
            return self._plan_create(item, arrival, now)
        assert isinstance(item, OF_SESSION)
        owner, own = owner_of(item.session), self._view.own
        if owner is not None and owner != own and self._view.lives(owner, now):
            return Plan(None, _nothing)
        place = 0 if owner == own else self._view.speaker(now)
        early = owner not in (None, own) and self._view.too_early_to_miss(str(owner), now)
        return Plan(place, partial(self._absent.answer, item, payload, came), early)

    def _plan_create(self, request: CreateRequest, arrival: Arrival, now: float) -> Plan:
        heard = arrival.heard
        place: int | None
        error: RequestError | None
        if heard is Heard.DIRECTLY:
            place, error = 0, self._why_not(request)
        else:
            # A repeat makes no session; where it does after all, the next rank says so.
            place, error = self._view.place(request, now, count=heard is Heard.PUBLISHED)
            if error is not None:
                early = self._view.too_early_to_refuse(request, now)
                return Plan(place, partial(self._refuse, request, arrival, error), early)
            if heard in LEFT and not self._view.fits(request):
                return Plan(place, partial(self._leave, request, arrival))
            if heard in OURS and not self._view.fits(request):
                error = NOBODY_HEARD
        if error is not None:
            return Plan(place, partial(self._refuse, request, arrival, error))
        return Plan(place, partial(self._create, request, arrival))

    def _why_not(self, request: CreateRequest) -> RequestError | None:
        """Why this cloud does not carry out a create that nobody else was asked for; None: it does."""
        if not self._view.fits(request):
            return NoMatch("this cloud is not what the request asks for")
        return self._cloud.why_not(request)

    def _refuse(self, request: CreateRequest, arrival: Arrival, error: RequestError) -> None:
        self._cloud.claiming.refuse(request, arrival.payload, error, arrival.came)

    def _create(self, request: CreateRequest, arrival: Arrival) -> None:
        if arrival.heard in LAPSED:
            log.warning("taking over create %.80r: the cloud that claimed it fell silent", request.id)
        error = self._cloud.create(request, arrival.payload, arrival.came)
        if error is not None:
            # The others may have seen it claimed, and forgotten it.
            self._pass_on(request, arrival, error)

    def _leave(self, request: CreateRequest, arrival: Arrival) -> None:
        """Nobody that fits has heard it, though there is one by now: one of us, who all do not, sees to it."""
        if self._view.speaker(monotonic()) == 0:
            self._pass_on(request, arrival, NOBODY_HEARD)
        else:
            self._keep(arrival, 0, patient=True)

    def _pass_on(self, request: CreateRequest, arrival: Arrival, error: RequestError) -> None:
        """Ask the next best cloud to take it, and see that it does; where there is none, answer ``error``."""
        other = self._view.next_best(request, monotonic())
        if other is None or arrival.heard is Heard.DIRECTLY or arrival.round >= ROUNDS:
            self._refuse(request, arrival, error)
        else:
            self._cloud.registry.hand_over(request.op, arrival.payload, other)
            self._keep(arrival, 0, patient=True)

    def _answer_as_owner(self, request: StatusRequest | RemoveRequest, arrival: Arrival) -> None:
        session, now = self._cloud.sessions[request.session], monotonic()
        if isinstance(request, RemoveRequest):
            self.spawn(self._cloud.remove, session, request, arrival.payload, arrival.came)
        elif self._view.sure(now) and arrival.heard not in LAPSED:  # what was claimed is done when its claim is
            self._cloud.status(session, request, valid=self._view.sure_until() - now)
        else:
            self.spawn(self._cloud.status_with_claim, session, request, arrival.payload, arrival.came)

    def spawn(self, work: Callable[..., Any], *args: Any) -> None:
        """Carry something out in a greenlet of its own, which a stop waits for."""
        self._work.start(gevent.Greenlet(_guarded, work, *args))


def _guarded(work: Callable[..., Any], *args: Any) -> None:
    try:
        work(*args)
    except Exception:
        # A bug or a refusal of Redis: said with its place, and the other requests go on.
        log.exception("a request could not be carried out")


def _needs_memory(arrival: Arrival) -> bool:
    """Whether a Redis that has not been told yet what runs could make twins of it: by its id, or by its name."""
    item, heard = arrival.item, arrival.heard
    if not isinstance(item, CreateRequest) or heard in LAPSED:
        return False
    return heard in OLD or item.name is not None


def _nothing() -> None:
    """What there is to do about a request that is another cloud's."""
