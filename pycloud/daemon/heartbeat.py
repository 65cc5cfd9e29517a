"""Sends this node's heartbeat at each interval, and checks whether it is received back."""

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

#: Weight of the newest CPU reading in the published one (exponential smoothing): single readings jump.
SMOOTHING = 0.3
#: Seconds without a heartbeat after which a node is forgotten, at the earliest.
FORGET_AFTER = 3600.0
#: Seconds between two log lines about the same problem.
LOG_INTERVAL = 60.0


class HeartbeatService:
    """Sends a heartbeat every ``config.heartbeat`` seconds. The callbacks are the daemon's."""

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
        #: Called with the reason when the own heartbeat was not received for HEARTBEATS_MISSED intervals.
        self.on_lost: Callable[[str], None] = lambda _reason: None
        #: Called when the own heartbeats are received again after a gap, or the other daemon with this id is gone.
        self.on_recovered: Callable[[], None] = lambda: None
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Start sending; the first heartbeat is sent at once."""
        psutil.cpu_percent()
        self._deadline_reset_at = monotonic()
        self.publish()
        self._greenlet = gevent.spawn(self._publish_for_ever)

    def stop(self) -> None:
        """Stop sending heartbeats."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def reset_deadline(self) -> None:
        """Restart the deadline for the own heartbeat: on a new connection, it needs time to be received."""
        self._deadline_reset_at = monotonic()

    def on_heartbeat(self, payload: bytes) -> None:
        """Take in a received heartbeat, this node's or another's."""
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
        """Send a heartbeat."""
        self._manager.session_store.publish_heartbeat(self.current())

    def publish_shutdown(self) -> None:
        """Send a last heartbeat: it has ``deaf`` set, so that other nodes answer for this one from now on.

        Deletes the stored heartbeat, too.
        """
        self._manager.session_store.publish_heartbeat(msgspec.structs.replace(self.current(), deaf=True))
        self._manager.session_store.delete_heartbeat()

    def current(self) -> Heartbeat:
        """This node's heartbeat, with the load measured now."""
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
            draining=self._manager.draining or self._router.paused,
            copied=self._router.paused,
            deaf=self._membership.own_id in self._membership.peers and self._membership.heartbeat_lost(monotonic()),
            counted=self._membership.assigned_count(),
            per_session=config.session_weight,
            sent=monotonic(),
        )

    def _check_duplicate_id(self, now: float) -> None:
        """Pause intake while another daemon uses this id on a copy of the data: requests are safe with neither."""
        duplicate = self._membership.duplicate_detected(now, self._config.lost_after)
        if duplicate and now - self._duplicate_logged_at > LOG_INTERVAL:
            self._duplicate_logged_at = now
            log.error(DUPLICATE_ID_MESSAGE, self._membership.own_id)
        was_paused, self._router.paused = self._router.paused, duplicate
        if was_paused and not duplicate:
            log.warning("the other daemon that used this node's id has ended: requests are accepted again")
            self.publish()  # the last heartbeat reported this node as draining
            gevent.spawn(self.on_recovered)  # the other may have overwritten this node's data

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
                self.on_lost("own heartbeat not received")
