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
from pycloud.cluster.aligned_timer import sleep_to_next_tick
from pycloud.cluster.membership import Membership
from pycloud.config import Config
from pycloud.daemon.duplicate_id import DUPLICATE_ID_MESSAGE
from pycloud.daemon.intake import RequestReceiver
from pycloud.daemon.router import Router
from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.messages import HEARTBEATS_MISSED, Heartbeat
from pycloud.sessions.manager import SessionManager

log = logging.getLogger(__name__)

#: How much of the newest reading of the CPU goes into the one that is told: single readings jump.
SMOOTHING = 0.3
#: Seconds after which a silent cloud is forgotten, at the earliest.
FORGET_AFTER = 3600.0
#: Seconds between two lines about the same trouble.
LOG_INTERVAL = 60.0


class HeartbeatService:
    """Beats every ``config.heartbeat`` seconds. The callbacks are the daemon's."""

    def __init__(
        self, manager: SessionManager, membership: Membership, router: Router, receiver: RequestReceiver, config: Config
    ) -> None:
        self._manager, self._membership, self._router, self._receiver, self._config = (
            manager,
            membership,
            router,
            receiver,
            config,
        )
        self._interval = config.heartbeat
        self._cpu = 0.0
        self._duplicate_logged_at = float("-inf")
        self._deadline_reset_at = monotonic()
        #: Called when the own rank was not heard for three heartbeats, with the reason.
        self.on_lost: Callable[[str], None] = lambda _reason: None
        #: Called when this cloud hears itself again after it did not.
        self.on_recovered: Callable[[], None] = lambda: None
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """The first beat is at once."""
        psutil.cpu_percent()
        self._deadline_reset_at = monotonic()
        self.publish()
        self._greenlet = gevent.spawn(self._publish_for_ever)

    def stop(self) -> None:
        """No more beats."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def reset_deadline(self) -> None:
        """A connection was built anew: until the own rank has had time to come back, there is nothing to conclude."""
        self._deadline_reset_at = monotonic()

    def on_heartbeat(self, payload: bytes) -> None:
        """A rank came in, ours or another's."""
        try:
            heartbeat = decode_heartbeat(payload)
        except DecodeError as error:
            self._receiver.dropped.add("bad_rank", "the rank channel", str(error))
            return
        now = monotonic()
        was_confirmed, first = self._membership.confirmed(now), self._membership.own_id not in self._membership.peers
        self._membership.on_heartbeat(heartbeat, now)
        self._check_duplicate_id(now)
        if not was_confirmed and not first and self._membership.confirmed(now):
            gevent.spawn(self.on_recovered)

    def publish(self) -> None:
        """Send the rank."""
        self._manager.session_store.publish_heartbeat(self.current())

    def publish_shutdown(self) -> None:
        """Send a last rank: this cloud hears nothing from here on, so that others speak for it at once."""
        self._manager.session_store.publish_heartbeat(msgspec.structs.replace(self.current(), deaf=True))
        self._manager.session_store.delete_heartbeat()

    def current(self) -> Heartbeat:
        """What this cloud says of itself."""
        identity, config, sessions = self._manager.identity, self._config, self._manager.load
        self._cpu += SMOOTHING * (psutil.cpu_percent() - self._cpu)
        load = placement.score(
            sessions,
            self._cpu,
            psutil.virtual_memory().percent,
            per_session=config.session_weight,
            per_load=config.load_weight,
        )
        return Heartbeat(
            id=identity.id,
            score=load,
            time=time(),
            sessions=sessions,
            instance=identity.instance,
            version=pycloud.__version__,
            host=identity.host,
            runtime=self._manager.runtime.kinds[0],
            runtimes=self._manager.runtime.kinds,
            unavailable=self._manager.runtime.unavailable_kinds(),
            heartbeat=self._interval,
            dropped=self._receiver.dropped.total,
            capacity=config.capacity,
            labels=dict(config.labels),
            draining=self._manager.draining or self._receiver.paused,
            copied=self._receiver.paused,
            deaf=self._membership.own_id in self._membership.peers and self._membership.heartbeat_lost(monotonic()),
            counted=self._membership.assigned_count(),
            per_session=config.session_weight,
            sent=monotonic(),
        )

    def _check_duplicate_id(self, now: float) -> None:
        """Another daemon that uses our id was started on a copy of our data: neither can be trusted with requests."""
        duplicate = self._membership.duplicate_detected(now, self._config.lost_after)
        if duplicate and now - self._duplicate_logged_at > LOG_INTERVAL:
            self._duplicate_logged_at = now
            log.error(DUPLICATE_ID_MESSAGE, self._membership.own_id)
        was_paused, self._receiver.paused = self._receiver.paused, duplicate
        if was_paused and not duplicate:
            log.warning("the other daemon that used this cloud's id is gone: requests are taken again")
            self.publish()  # our last rank said that we take nothing
            gevent.spawn(self.on_recovered)  # it may have written over what is ours

    def _publish_for_ever(self) -> None:
        while True:
            sleep_to_next_tick(self._interval)
            self.publish()
            now = monotonic()
            self._check_duplicate_id(now)
            self._membership.prune(max(self._config.lost_after, FORGET_AFTER), now)
            if (
                self._membership.heartbeat_lost(now)
                and now - self._deadline_reset_at > HEARTBEATS_MISSED * self._interval
            ):
                self._deadline_reset_at = now
                self.on_lost("did not hear the own heartbeat")
