"""Each heartbeat: this cloud's rank goes out, and it looks whether it hears itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, time

import gevent
import msgspec
import psutil

import pycloud
from pycloud.cluster import placement
from pycloud.cluster.aligned_timer import sleep_until_next
from pycloud.cluster.membership import View
from pycloud.config import Config
from pycloud.daemon.duplicate_id import ADVICE
from pycloud.daemon.intake import Intake
from pycloud.daemon.router import Router
from pycloud.protocol.decoding import DecodeError, decode_rank
from pycloud.protocol.messages import HEARTBEATS_MISSED, Rank
from pycloud.sessions.manager import Cloud

log = logging.getLogger(__name__)

#: How much of the newest reading of the CPU goes into the one that is told: single readings jump.
SMOOTHING = 0.3
#: Seconds after which a silent cloud is forgotten, at the earliest.
FORGET = 3600.0
#: Seconds between two lines about the same trouble.
SAY_AGAIN = 60.0


class Heartbeat:
    """Beats every ``config.heartbeat`` seconds. The callbacks are the daemon's."""

    def __init__(self, cloud: Cloud, view: View, router: Router, intake: Intake, config: Config) -> None:
        self._cloud, self._view, self._router, self._intake, self._config = cloud, view, router, intake, config
        self._interval = config.heartbeat
        self._cpu = 0.0
        self._said_double = float("-inf")
        self._renewed = monotonic()
        #: Called when the own rank was not heard for three heartbeats, with the reason.
        self.on_deaf: Callable[[str], None] = lambda _reason: None
        #: Called when this cloud hears itself again after it did not.
        self.on_regained: Callable[[], None] = lambda: None
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """The first beat is at once."""
        psutil.cpu_percent()
        self._renewed = monotonic()
        self.beat()
        self._greenlet = gevent.spawn(self._beat_for_ever)

    def stop(self) -> None:
        """No more beats."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def rest(self) -> None:
        """A connection was built anew: until the own rank has had time to come back, there is nothing to conclude."""
        self._renewed = monotonic()

    def hear(self, payload: bytes) -> None:
        """A rank came in, ours or another's."""
        try:
            rank = decode_rank(payload)
        except DecodeError as error:
            self._intake.dropped.drop("bad_rank", "the rank channel", str(error))
            return
        now = monotonic()
        was_sure, first = self._view.sure(now), self._view.own not in self._view.peers
        self._view.hear(rank, now)
        self._mind_double(now)
        if not was_sure and not first and self._view.sure(now):
            gevent.spawn(self.on_regained)

    def beat(self) -> None:
        """Send the rank."""
        self._cloud.registry.beat(self.rank())

    def farewell(self) -> None:
        """Send a last rank: this cloud hears nothing from here on, so that others speak for it at once."""
        self._cloud.registry.beat(msgspec.structs.replace(self.rank(), deaf=True))
        self._cloud.registry.leave()

    def rank(self) -> Rank:
        """What this cloud says of itself."""
        identity, config, sessions = self._cloud.identity, self._config, self._cloud.load
        self._cpu += SMOOTHING * (psutil.cpu_percent() - self._cpu)
        load = placement.score(
            sessions,
            self._cpu,
            psutil.virtual_memory().percent,
            per_session=config.session_weight,
            per_load=config.load_weight,
        )
        return Rank(
            id=identity.id,
            score=load,
            time=time(),
            sessions=sessions,
            instance=identity.instance,
            version=pycloud.__version__,
            host=identity.host,
            runtime=self._cloud.runtime.kinds[0],
            runtimes=self._cloud.runtime.kinds,
            unavailable=self._cloud.runtime.unavailable(),
            heartbeat=self._interval,
            dropped=self._intake.dropped.total,
            capacity=config.capacity,
            labels=dict(config.labels),
            draining=self._cloud.draining or self._intake.closed,
            copied=self._intake.closed,
            deaf=self._view.own in self._view.peers and self._view.deaf(monotonic()),
            counted=self._view.counted(),
            per_session=config.session_weight,
            sent=monotonic(),
        )

    def _mind_double(self, now: float) -> None:
        """Another daemon that uses our id was started on a copy of our data: neither can be trusted with requests."""
        doubled = self._view.doubled(now, self._config.lost_after)
        if doubled and now - self._said_double > SAY_AGAIN:
            self._said_double = now
            log.error(ADVICE, self._view.own)
        was_closed, self._intake.closed = self._intake.closed, doubled
        if was_closed and not doubled:
            log.warning("the other daemon that used this cloud's id is gone: requests are taken again")
            self.beat()  # our last rank said that we take nothing
            gevent.spawn(self.on_regained)  # it may have written over what is ours

    def _beat_for_ever(self) -> None:
        while True:
            sleep_until_next(self._interval)
            self.beat()
            now = monotonic()
            self._mind_double(now)
            self._view.prune(max(self._config.lost_after, FORGET), now)
            if self._view.deaf(now) and now - self._renewed > HEARTBEATS_MISSED * self._interval:
                self._renewed = now
                self.on_deaf("did not hear the own heartbeat")
