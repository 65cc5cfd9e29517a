"""Builds this node from its parts, starts them in order, and stops them in reverse order.

Intake stops first, then work in progress is waited for, then the connections it uses are closed.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from time import monotonic

import gevent
import redis
from gevent.event import Event as Flag

import pycloud
from pycloud.cluster.deferred_requests import DeferredRequests
from pycloud.cluster.failover import FailoverResponder
from pycloud.cluster.membership import Membership
from pycloud.config import Config, detection
from pycloud.config.identity import Identity, node_id, previous_instance, save_instance
from pycloud.daemon import drain as draining
from pycloud.daemon import duplicate_id
from pycloud.daemon.heartbeat import HeartbeatService
from pycloud.daemon.inspect import Inspector
from pycloud.daemon.intake import RequestReceiver
from pycloud.daemon.maintenance import Maintenance
from pycloud.daemon.router import Router
from pycloud.errors import PyCloudError
from pycloud.protocol import messages
from pycloud.protocol.keys import Keys
from pycloud.protocol.requests import DrainRequest, InspectRequest
from pycloud.protocol.responses import create_response
from pycloud.protocol.session import State
from pycloud.runtimes import RecoveredSession
from pycloud.runtimes.composite import CompositeRuntime
from pycloud.runtimes.factory import create_runtimes
from pycloud.sessions import recovery
from pycloud.sessions.manager import SessionManager
from pycloud.sessions.pending_removals import PendingRemovals
from pycloud.store.requests import RESPONSE_TTL, Claim, RequestStore
from pycloud.store.sessions import SessionStore
from pycloud.transport.connection import OutageLog
from pycloud.transport.pipeline import RedisPipeline
from pycloud.transport.subscriber import Subscriber
from pycloud.transport.url import hide_password

log = logging.getLogger(__name__)

#: Seconds that work in progress gets at a stop, and that the last messages get to be sent.
FINISH_TIMEOUT, FLUSH_TIMEOUT = 10.0, 1.0
#: Seconds beyond their grace that sessions get to be removed, in Redis too.
REMOVE_TIMEOUT = 4.0
#: Seconds between two refreshes of all session records in Redis, where they expire.
REFRESH_INTERVAL = 3 * 3600.0


class Daemon:
    """All parts of one node. ``nofile`` is the soft limit on descriptors that sessions get."""

    def __init__(self, config: Config, nofile: int) -> None:
        self._config = config
        self.identity, self.runtime = identify(config, nofile)
        keys, outage = Keys(config.namespace), OutageLog()
        self.pipeline = RedisPipeline(config.redis, outage)
        shared = (self.pipeline, keys, self.identity.id, config.remember)
        self.request_store, self.session_store = RequestStore(*shared), SessionStore(*shared)
        self.manager = SessionManager(
            self.identity,
            self.runtime,
            self.request_store,
            self.session_store,
            stop_grace=config.stop_grace,
            retention=config.remember,
            capacity=config.capacity,
        )
        self.membership = Membership(self.identity.id, self.identity.instance, config.heartbeat)
        failover = FailoverResponder(
            self.request_store, self.session_store, self.membership, self.manager.claimer, config.lost_after
        )
        self.deferred_requests = DeferredRequests(self.request_store)
        self.router = Router(self.manager, self.membership, failover, self.deferred_requests)
        self.recovery = recovery.SessionRecovery(self.manager, self.router.spawn, self.router.mark_seen)
        self.receiver = RequestReceiver(self.router, keys, config.max_script_bytes)
        self.heartbeat = HeartbeatService(self.manager, self.membership, self.router, self.receiver, config)
        self.heartbeat.on_lost, self.heartbeat.on_recovered = self._on_heartbeat_lost, self._on_heartbeat_recovered
        self._register_operator_handlers()
        self.pending_removals = PendingRemovals(self.manager)
        self.maintenance = Maintenance(
            self.manager, self.receiver, failover, self.pending_removals, self.recovery, config.heartbeat
        )
        handlers = {**self.receiver.handlers(self.identity.id), keys.heartbeat_channel: self._on_heartbeat}
        self.subscriber = Subscriber(config.redis, handlers, outage)
        self.subscriber.on_subscribing, self.subscriber.on_disconnected = (
            self.membership.on_subscribing,
            self.membership.on_disconnected,
        )
        self.subscriber.on_resubscribed, self.pipeline.on_connect = self._on_resubscribed, self._on_connect
        self.pipeline.on_server_changed, self.maintenance.on_data_loss = self._on_server_changed, self._on_connect
        self._synced, self._heartbeat_confirmed = Flag(), Flag()
        self._stop_requested = Flag()
        self._force_stop = Flag()
        self._fatal_error: PyCloudError | None = None
        self._previous_instance = ""
        self.started = False
        self._refresher: gevent.Greenlet | None = None

    def _register_operator_handlers(self) -> None:
        """Register the handlers of operators' requests, and restore the drain flag that they set before."""
        draining.restore_drain_flag(self.manager, self._config.data_dir, self._config.draining)
        drain = draining.DrainHandler(self.manager, self.heartbeat, self._config.data_dir).drain
        inspect = Inspector(self.manager).inspect
        self.manager.direct_handlers |= {DrainRequest.op: drain, InspectRequest.op: inspect}

    def start(self) -> None:
        """Adopt sessions, connect, write them to Redis, and only then subscribe and send heartbeats.

        Waits for Redis without a limit; returns early, with ``started`` False, where a stop is requested meanwhile.
        """
        self._previous_instance = previous_instance(self._config.data_dir)
        save_instance(self._config.data_dir, self.identity.instance)
        self.runtime.on_recovered(self._on_found)
        self.runtime.connect()
        self._on_found(self.runtime.recover())
        log.info("pycloud %s, %s", pycloud.__version__, self._startup_line())
        self.pipeline.start()
        self.manager.claimer.start()
        self._wait_or_stop(self._synced)
        if self._stop_requested.is_set():
            return
        self.runtime.start_watching()  # no other daemon uses this node's id
        self.recovery.resume()
        self.pending_removals.process()
        self.subscriber.start()
        self._wait_or_stop(self.subscriber.subscribed)
        if self._stop_requested.is_set():
            return
        for payload in self.session_store.heartbeats():
            self.heartbeat.on_heartbeat(payload)
        self.deferred_requests.start()
        self.heartbeat.start()
        self._wait_or_stop(self._heartbeat_confirmed)
        self.maintenance.start()
        self._refresher = gevent.spawn(self._refresh_for_ever)
        self._publish_event(draining.event_name(self.manager.draining))
        recovery.publish_adopted(self.manager)
        self.started = True
        self._resume_deferred()

    def serve(self) -> None:
        """Run until a signal requests a stop. Raises PyCloudError where Redis rejects what PyCloud needs."""
        self._stop_requested.wait()
        if self._fatal_error is not None:
            raise self._fatal_error

    def stop(self) -> None:
        """Stop all parts in order; a second signal cuts the waiting short."""
        log.info("stopping; sessions %s", "keep running" if self._config.on_stop == "keep" else "are removed")
        self.maintenance.stop()
        self.deferred_requests.stop()
        self.heartbeat.stop()
        self.subscriber.stop()
        self.manager.log_streams.stop()
        self.heartbeat.publish_shutdown()
        self._run_unless_forced(lambda: self.router.finish(FINISH_TIMEOUT))
        if self._config.on_stop == "remove":
            # Without Redis nothing can be published: the next daemon publishes the rest.
            self._run_unless_forced(lambda: self.manager.remover.remove_all(self._config.stop_grace + REMOVE_TIMEOUT))
        if self._refresher is not None:
            self._refresher.kill()
            self._publish_event("cloud.down")
        if self.pipeline.connected.is_set():
            self.pipeline.flush(FLUSH_TIMEOUT)
        self.manager.claimer.stop()
        self.manager.table.stop()
        self.pipeline.stop()
        self.runtime.disconnect()

    def on_signal(self) -> None:
        """Handle SIGTERM or Ctrl-C: only sets a flag."""
        (self._force_stop if self._stop_requested.is_set() else self._stop_requested).set()

    def _startup_line(self) -> str:
        address = hide_password(self._config.redis)
        why = detection.containers_disabled_reason(self._config)
        runtimes = ", ".join(self.runtime.kinds) + (f" ({why})" if why else "")
        return f"node {self.identity.id}, Redis {address}, runtime {runtimes}, {self.manager.alive} sessions"

    def _on_heartbeat(self, payload: bytes) -> None:
        self.heartbeat.on_heartbeat(payload)
        if not self._heartbeat_confirmed.is_set() and self.membership.confirmed(monotonic()):
            self._heartbeat_confirmed.set()

    def _on_server_changed(self) -> None:
        """Restore the responses before any other call is served: a repeated create must not start a second session."""
        if self._synced.is_set():
            log.warning("Redis was restarted or replaced; writing the sessions of this node to it again")
            self.maintenance.pause()
            self.router.on_server_changed()
        try:
            self._restore_responses()
            if self._synced.is_set():
                self.session_store.name_reservations.renew(
                    s for s in list(self.manager.sessions.values()) if s.answered
                )
        except redis.RedisError as error:
            self._on_redis_error(error)

    def _on_connect(self) -> None:
        self.heartbeat.reset_deadline()
        try:
            if not self._synced.is_set():
                duplicate_id.wait_for_duplicate_to_stop(self.session_store, self.identity, self._previous_instance)
            self._resync_redis()
        except redis.RedisError as error:
            self._on_redis_error(error)
        else:
            self._synced.set()

    def _on_redis_error(self, error: redis.RedisError) -> None:
        """Before the first sync, stop: the error will not pass by itself. Later it may; sessions continue anyway."""
        if self._synced.is_set():
            log.error("cannot write the sessions of this node to Redis; the next refresh retries: %s", error)
        else:
            self._fatal_error = PyCloudError(
                f"Redis rejects a command that PyCloud needs (`pycloudctl doctor` checks all of them): {error}"
            )
            self._stop_requested.set()

    def _on_resubscribed(self) -> None:
        self.heartbeat.reset_deadline()
        self._on_heartbeat_recovered()

    def _on_heartbeat_recovered(self) -> None:
        """Catch up after a gap in receiving: others may have answered for this node, or stored removals for it."""
        try:
            self._resync_redis()
            self.pending_removals.process()
            self.maintenance.take_over_expired_claims()
        except redis.RedisError as error:
            log.warning("cannot read from Redis what this node has missed; the periodic checks retry: %s", error)

    def _resync_redis(self) -> None:
        """Write again what Redis may have forgotten of this node's sessions, and erase what it has in excess."""
        manager = self.manager
        if self._synced.is_set():
            self.session_store.write_heartbeat(self.heartbeat.current())
        for session in self.session_store.recorded_session_ids() - set(manager.sessions):
            self.session_store.erase_unknown(session)
        # Evaluated one by one: a session that was removed meanwhile must not be written again. One that is not answered
        # yet is written with its response.
        answered = (s for s in list(manager.sessions.values()) if s.answered and s.state is not State.REMOVED)
        recovery.write_sessions(manager, answered, report_adopted=self._synced.is_set())
        self._restore_responses()

    def _restore_responses(self) -> None:
        since = self.manager.now() - RESPONSE_TTL / 1000
        recent = (s for s in list(self.manager.sessions.values()) if s.answered and (s.alive or s.created > since))
        self.request_store.restore_responses((Claim.of(session), create_response(session)) for session in recent)
        self.request_store.restore_responses(
            (each.claim, each.response)
            for each in list(self.manager.remover.recent_responses)
            if each.answered_at > since
        )

    def _on_found(self, recovered: list[RecoveredSession]) -> None:
        """Adopt sessions that outlived the last daemon; an engine that was unavailable may report them much later."""
        self.recovery.adopt(recovered)
        if self.started:
            self._resume_deferred()

    def _resume_deferred(self) -> None:
        self.recovery.resume_deferred()
        self.pending_removals.process()

    def _refresh_for_ever(self) -> None:
        while True:
            gevent.sleep(REFRESH_INTERVAL)
            self._on_connect()

    def _on_heartbeat_lost(self, reason: str) -> None:
        self.subscriber.reconnect(reason)

    def _publish_event(self, event: str) -> None:
        self.session_store.publish_event(messages.Event(event, self.identity.id, self.manager.now()))

    def _wait_or_stop(self, flag: Flag) -> None:
        """Wait for ``flag``, or for a requested stop."""
        gevent.wait([flag, self._stop_requested], count=1)

    def _run_unless_forced(self, work: Callable[[], object]) -> None:
        greenlet = gevent.spawn(work)
        gevent.wait([greenlet, self._force_stop], count=1)
        greenlet.kill()


def identify(config: Config, nofile: int) -> tuple[Identity, CompositeRuntime]:
    """This node's identity, and the runtime of its sessions.

    Where the host name is only a container's id, the identity uses the name that the container engine gives its host.
    ``nofile``: the soft limit on descriptors that script sessions get. Raises ConfigError.
    """
    own_id = node_id(config.data_dir)
    runtime = create_runtimes(config, own_id, nofile)
    if detection.has_container_hostname(config):
        return Identity(own_id, config.hostname, lookup_host=runtime.host_name), runtime
    return Identity(own_id, config.hostname), runtime


def run(config: Config, *, nofile: int, ready: Callable[[], None]) -> int:
    """Run the daemon until a signal requests a stop; returns the exit code. ``ready`` is called once, when subscribed.

    Raises PyCloudError where the node cannot be built or started.
    """
    daemon = Daemon(config, nofile)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, daemon.on_signal)
    try:
        daemon.start()
        if daemon.started:
            log.info("ready: node %s accepts requests on %s.*", daemon.identity.id, config.namespace)
            ready()
        daemon.serve()
    finally:
        daemon.stop()
    return 0
