"""What a cloud does now and then for all: takes over what lapsed, tells who is lost, sweeps the indexes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

import gevent
import redis

from pycloud.cluster.aligned_timer import sleep_until_next
from pycloud.cluster.failover import LOOK, SWEEP, Absent
from pycloud.daemon.intake import Intake
from pycloud.sessions.manager import Cloud
from pycloud.sessions.pending_removals import Wishes
from pycloud.sessions.recovery import Adoption

log = logging.getLogger(__name__)


class Rounds:
    """What a cloud does now and then for others; apart from the beats, because it waits for Redis."""

    def __init__(
        self, cloud: Cloud, intake: Intake, absent: Absent, wishes: Wishes, adoption: Adoption, heartbeat: float
    ) -> None:
        self._cloud, self._intake, self._absent, self._heartbeat = cloud, intake, absent, heartbeat
        self._wishes, self._adoption = wishes, adoption
        self._greenlets: list[gevent.Greenlet] = []
        self._pause_until = 0.0
        #: Called when Redis, which was there all the time, has lost its data.
        self.on_forgotten: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin."""
        duties: tuple[tuple[float, Callable[[], None]], ...] = (
            (self._heartbeat, self.take_over),
            # Somebody may still count us as away after we have looked for wishes, and write down another one.
            (2 * self._heartbeat, self._wishes.fulfil),
            # What an engine or Redis would not let us do before.
            (2 * self._heartbeat, self._cloud.remover.try_again),
            (2 * self._heartbeat, self._adoption.finish_late),
            (2 * self._heartbeat, self.mind_loss),
            (LOOK, self._absent.look),
            (SWEEP, self._absent.sweep),
        )
        self._greenlets = [gevent.spawn(self._repeat, seconds, duty) for seconds, duty in duties]

    def stop(self) -> None:
        """End."""
        gevent.killall(self._greenlets)

    def pause(self) -> None:
        """Take over nothing for two heartbeats: after a restart of Redis, claims wait for their holders to be back."""
        self._pause_until = monotonic() + 2 * self._heartbeat

    def take_over(self) -> None:
        """Look after the requests that were claimed by clouds which fell silent."""
        if monotonic() < self._pause_until:
            return
        ledger, claims = self._cloud.ledger, self._cloud.claiming.claims
        for lapsed in ledger.lapsed():
            if lapsed.payload is None:
                ledger.forget_claim(lapsed.op, lapsed.id)
            elif not claims.holds(lapsed.op, lapsed.id):
                self._intake.take_lapsed(lapsed.op, lapsed.payload, ours=lapsed.ours)

    def mind_loss(self) -> None:
        """Somebody may have emptied Redis (FLUSHALL): it was not started again, and no connection broke over it."""
        if self._cloud.alive and self._cloud.registry.forgotten():
            log.warning("Redis has lost its data: it is told again what runs here")
            self.on_forgotten()

    def _repeat(self, seconds: float, duty: Callable[[], None]) -> None:
        while True:
            sleep_until_next(seconds)
            try:
                duty()
            except redis.RedisError as error:
                log.warning("what other clouds left behind could not be looked at: %s", error)
