"""Periodic tasks: takes over expired claims, marks lost nodes, prunes the indexes, retries what failed before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

import gevent
import redis

from pycloud.cluster.aligned_timer import sleep_to_next_tick
from pycloud.cluster.failover import LOST_CHECK_INTERVAL, PRUNE_INTERVAL, FailoverResponder
from pycloud.daemon.intake import RequestReceiver
from pycloud.sessions.manager import SessionManager
from pycloud.sessions.pending_removals import PendingRemovals
from pycloud.sessions.recovery import SessionRecovery

log = logging.getLogger(__name__)


class Maintenance:
    """Periodic tasks of a node; separate from its heartbeats because they wait for Redis."""

    def __init__(
        self,
        manager: SessionManager,
        receiver: RequestReceiver,
        failover: FailoverResponder,
        pending_removals: PendingRemovals,
        recovery: SessionRecovery,
        heartbeat_interval: float,
    ) -> None:
        self._manager, self._receiver, self._failover, self._heartbeat_interval = (
            manager,
            receiver,
            failover,
            heartbeat_interval,
        )
        self._pending_removals, self._recovery = pending_removals, recovery
        self._greenlets: list[gevent.Greenlet] = []
        self._pause_until = 0.0
        #: Called when Redis has lost its data without a restart.
        self.on_data_loss: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start all tasks, each in a greenlet of its own."""
        tasks: tuple[tuple[float, Callable[[], None]], ...] = (
            (self._heartbeat_interval, self.take_over_expired_claims),
            # After a check, another node may still count this one as offline, and store one more removal.
            (2 * self._heartbeat_interval, self._pending_removals.process),
            # Work that an engine or Redis prevented before.
            (2 * self._heartbeat_interval, self._manager.remover.retry_deferred),
            (2 * self._heartbeat_interval, self._recovery.resume_deferred),
            (2 * self._heartbeat_interval, self.check_redis_data_loss),
            (LOST_CHECK_INTERVAL, self._failover.mark_lost_nodes),
            (PRUNE_INTERVAL, self._failover.prune_indexes),
        )
        self._greenlets = [gevent.spawn(self._repeat, seconds, task) for seconds, task in tasks]

    def stop(self) -> None:
        """Stop all tasks."""
        gevent.killall(self._greenlets)

    def pause(self) -> None:
        """Take over no claim for two heartbeats: after a restart of Redis, claims wait for their holders to return."""
        self._pause_until = monotonic() + 2 * self._heartbeat_interval

    def take_over_expired_claims(self) -> None:
        """Route the requests whose claims expired; delete the claims of requests that Redis has forgotten."""
        if monotonic() < self._pause_until:
            return
        request_store, claimer = self._manager.request_store, self._manager.claimer
        for expired in request_store.expired_claims():
            if expired.payload is None:
                request_store.delete_expired_claim(expired.op, expired.id)
            elif not claimer.is_held(expired.op, expired.id):
                self._receiver.retry_expired_claim(expired.op, expired.payload, own=expired.own)

    def check_redis_data_loss(self) -> None:
        """Detect that Redis was emptied (FLUSHALL): neither a restart nor a broken connection shows that."""
        if self._manager.alive and self._manager.session_store.is_empty():
            log.warning("Redis has lost its data; writing the sessions of this node to it again")
            self.on_data_loss()

    def _repeat(self, seconds: float, task: Callable[[], None]) -> None:
        while True:
            sleep_to_next_tick(seconds)
            try:
                task()
            except redis.RedisError as error:
                log.warning("a periodic task failed, will retry: %s", error)
