"""Builds this cloud from its parts, starts them in order, and stops them in the reverse one.

Intake stops first, then what is being worked on is waited for, then what it talked to is closed.
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
from pycloud.cluster.deferred_requests import Standby
from pycloud.cluster.failover import Absent
from pycloud.cluster.membership import View
from pycloud.config import Config, detection
from pycloud.config.identity import Identity, cloud_id, leave_mark, predecessor
from pycloud.daemon import drain as draining
from pycloud.daemon import duplicate_id
from pycloud.daemon.heartbeat import Heartbeat
from pycloud.daemon.inspect import Inspector
from pycloud.daemon.intake import Intake
from pycloud.daemon.maintenance import Rounds
from pycloud.daemon.router import Router
from pycloud.errors import PyCloudError
from pycloud.protocol import messages
from pycloud.protocol.keys import Names
from pycloud.protocol.responses import create_response
from pycloud.protocol.session import State
from pycloud.runtimes import Found
from pycloud.runtimes.composite import Runtimes
from pycloud.runtimes.factory import chosen_runtimes
from pycloud.sessions import recovery
from pycloud.sessions.manager import Cloud
from pycloud.sessions.pending_removals import Wishes
from pycloud.store.requests import ANSWER_LIFE, Claim, Ledger
from pycloud.store.sessions import Registry
from pycloud.transport.connection import Outage
from pycloud.transport.pipeline import Bus
from pycloud.transport.subscriber import Subscriber
from pycloud.transport.url import hide_password

log = logging.getLogger(__name__)

#: Seconds that work in progress gets at a stop, and that the last messages get to leave.
FINISH_PATIENCE, FAREWELL = 10.0, 1.0
#: Seconds beyond their grace that sessions get to be gone and Redis to be told so.
REMOVE_PATIENCE = 4.0
#: Seconds between two times that all sessions are written to Redis again: their records expire there.
REFRESH = 3 * 3600.0


class Daemon:
    """All parts of one cloud. ``nofile`` is the soft limit on descriptors that sessions get."""

    def __init__(self, config: Config, nofile: int) -> None:
        self._config = config
        self.identity, self.runtime = identify(config, nofile)
        names, outage = Names(config.namespace), Outage()
        self.bus = Bus(config.redis, outage)
        shared = (self.bus, names, self.identity.id, config.remember)
        self.ledger, self.registry = Ledger(*shared), Registry(*shared)
        self.cloud = Cloud(
            self.identity,
            self.runtime,
            self.ledger,
            self.registry,
            stop_grace=config.stop_grace,
            remember=config.remember,
            capacity=config.capacity,
        )
        self.view = View(self.identity.id, self.identity.instance, config.heartbeat)
        absent = Absent(self.ledger, self.registry, self.view, self.cloud.claiming, config.lost_after)
        self.standby = Standby(self.ledger)
        self.router = Router(self.cloud, self.view, absent, self.standby)
        self.adoption = recovery.Adoption(self.cloud, self.router.spawn, self.router.know)
        self.intake = Intake(self.router, names, config.max_script_bytes)
        self.standby.on_unclaimed = self.intake.take_unclaimed
        self.heartbeat = Heartbeat(self.cloud, self.view, self.router, self.intake, config)
        self.heartbeat.on_deaf, self.heartbeat.on_regained = self._deaf, self._regained
        self._serve_operators()
        self.wishes = Wishes(self.cloud)
        self.rounds = Rounds(self.cloud, self.intake, absent, self.wishes, self.adoption, config.heartbeat)
        handlers = {**self.intake.handlers(self.identity.id), names.rank_channel: self._hear_rank}
        self.subscriber = Subscriber(config.redis, handlers, outage)
        self.subscriber.on_begin, self.subscriber.on_lost = self.view.listens, self.view.interrupted
        self.subscriber.on_gap, self.bus.on_connect = self._on_gap, self._on_connect
        self.bus.on_new_server, self.rounds.on_forgotten = self._on_new_server, self._on_connect
        self._announced, self._sure = Flag(), Flag()
        self._stop_wanted = Flag()
        self._hurry = Flag()
        self._fatal: PyCloudError | None = None
        self._predecessor = ""
        self.started = False
        self._refresher: gevent.Greenlet | None = None

    def _serve_operators(self) -> None:
        """What operators ask of this cloud, and what they asked of it before."""
        draining.begin(self.cloud, self._config.data_dir, self._config.draining)
        drain = draining.Draining(self.cloud, self.heartbeat, self._config.data_dir).drain
        inspect = Inspector(self.cloud).inspect
        self.cloud.direct |= {messages.DrainRequest.op: drain, messages.InspectRequest.op: inspect}

    def start(self) -> None:
        """Adopt, connect, announce, and only then subscribe. Waits for Redis as long as that takes, or a stop."""
        self._predecessor = predecessor(self._config.data_dir)
        leave_mark(self._config.data_dir, self.identity.instance)
        self.runtime.on_found(self._on_found)
        self.runtime.open()
        self._on_found(self.runtime.recover())
        log.info("pycloud %s, %s", pycloud.__version__, self._introduction())
        self.bus.start()
        self.cloud.claiming.claims.start()
        self._until(self._announced)
        if self._stop_wanted.is_set():
            return
        self.runtime.begin()  # no other daemon uses our id
        self.adoption.finish()
        self.wishes.fulfil()
        self.subscriber.start()
        self._until(self.subscriber.subscribed)
        if self._stop_wanted.is_set():
            return
        for rank in self.registry.ranks():
            self.heartbeat.hear(rank)
        self.standby.start()
        self.heartbeat.start()
        self._until(self._sure)
        self.rounds.start()
        self._refresher = gevent.spawn(self._refresh_for_ever)
        self._tell(draining.event_name(self.cloud.draining))
        recovery.tell_adopted(self.cloud)
        self.started = True
        self._finish_late()

    def serve(self) -> None:
        """Run until a signal says stop. Raises PyCloudError where Redis turned out to be of no use."""
        self._stop_wanted.wait()
        if self._fatal is not None:
            raise self._fatal

    def stop(self) -> None:
        """In order; a second signal makes it quick."""
        log.info("stopping; sessions %s", "go on" if self._config.on_stop == "keep" else "are removed")
        self.rounds.stop()
        self.standby.stop()
        self.heartbeat.stop()
        self.subscriber.stop()
        self.cloud.following.stop()
        self.heartbeat.farewell()
        self._unless_hurried(lambda: self.router.finish(FINISH_PATIENCE))
        if self._config.on_stop == "remove":
            # Without Redis nobody can be told: what is left to say is said by the next daemon.
            self._unless_hurried(lambda: self.cloud.remover.remove_all(self._config.stop_grace + REMOVE_PATIENCE))
        if self._refresher is not None:
            self._refresher.kill()
            self._tell("cloud.down")
        if self.bus.connected.is_set():
            self.bus.flush(FAREWELL)
        self.cloud.claiming.claims.stop()
        self.cloud.watchers.stop()
        self.bus.stop()
        self.runtime.close()

    def on_signal(self) -> None:
        """SIGTERM or Ctrl-C: only sets a flag."""
        (self._hurry if self._stop_wanted.is_set() else self._stop_wanted).set()

    def _introduction(self) -> str:
        address = hide_password(self._config.redis)
        why = detection.why_no_containers(self._config)
        kinds = ", ".join(self.runtime.kinds) + (f" ({why})" if why else "")
        return f"cloud {self.identity.id}, Redis {address}, runtime {kinds}, {self.cloud.alive} sessions"

    def _hear_rank(self, payload: bytes) -> None:
        self.heartbeat.hear(payload)
        if not self._sure.is_set() and self.view.sure(monotonic()):
            self._sure.set()

    def _on_new_server(self) -> None:
        """Nobody's claim is served before Redis knows again what was answered: a repeat must make no twin."""
        if self._announced.is_set():
            log.warning("this Redis was restarted, or is another one: it is told again what runs here")
            self.rounds.pause()
            self.router.mind_new_server()
        try:
            self._restore()
            if self._announced.is_set():
                self.registry.session_names.keep(s for s in list(self.cloud.sessions.values()) if s.answered)
        except redis.RedisError as error:
            self._complain(error)

    def _on_connect(self) -> None:
        self.heartbeat.rest()
        try:
            if not self._announced.is_set():
                duplicate_id.wait_until_alone(self.registry, self.identity, self._predecessor)
            self._announce()
        except redis.RedisError as error:
            self._complain(error)
        else:
            self._announced.set()

    def _complain(self, error: redis.RedisError) -> None:
        """Before anything has worked this will not pass by itself; later it may, and the sessions go on anyway."""
        if self._announced.is_set():
            log.error("Redis could not be told what runs here, the next refresh tries again: %s", error)
        else:
            self._fatal = PyCloudError(f"Redis refuses what PyCloud needs: {error}")
            self._stop_wanted.set()

    def _on_gap(self) -> None:
        self.heartbeat.rest()
        self._regained()

    def _regained(self) -> None:
        """This cloud hears again after it did not: others may have spoken for it meanwhile, or wished for something."""
        try:
            self._announce()
            self.wishes.fulfil()
            self.rounds.take_over()
        except redis.RedisError as error:
            log.warning("what was missed could not be looked up: %s", error)

    def _announce(self) -> None:
        """What Redis may have forgotten is written again, from what runs here."""
        cloud = self.cloud
        if self._announced.is_set():
            self.registry.appear(self.heartbeat.rank())
        for session in self.registry.recorded() - set(cloud.sessions):
            self.registry.erase_unknown(session)
        # Looked at only when their turn comes: what was removed meanwhile must not be written again. What nobody was
        # told of yet is written with its answer.
        there = (s for s in list(cloud.sessions.values()) if s.answered and s.state is not State.REMOVED)
        recovery.announce(cloud, there, back=self._announced.is_set())
        self._restore()

    def _restore(self) -> None:
        since = self.cloud.now() - ANSWER_LIFE / 1000
        asked_for = (s for s in list(self.cloud.sessions.values()) if s.answered and (s.alive or s.created > since))
        self.ledger.restore((Claim.of(session), create_response(session)) for session in asked_for)
        self.ledger.restore(
            (each.claim, each.response) for each in list(self.cloud.remover.removals) if each.at > since
        )

    def _on_found(self, found: list[Found]) -> None:
        """Sessions that outlived the last daemon; those of an engine that was away may be found long after that."""
        self.adoption.adopt(found)
        if self.started:
            self._finish_late()

    def _finish_late(self) -> None:
        self.adoption.finish_late()
        self.wishes.fulfil()

    def _refresh_for_ever(self) -> None:
        while True:
            gevent.sleep(REFRESH)
            self._on_connect()

    def _deaf(self, reason: str) -> None:
        self.subscriber.renew(reason)

    def _tell(self, event: str) -> None:
        self.registry.tell(messages.Event(event, self.identity.id, self.cloud.now()))

    def _until(self, flag: Flag) -> None:
        """Wait for ``flag``, or for a signal to stop."""
        gevent.wait([flag, self._stop_wanted], count=1)

    def _unless_hurried(self, work: Callable[[], object]) -> None:
        greenlet = gevent.spawn(work)
        gevent.wait([greenlet, self._hurry], count=1)
        greenlet.kill()


def identify(config: Config, nofile: int) -> tuple[Identity, Runtimes]:
    """Who we are, and what runs our sessions: a container engine may know our name better than we do.

    ``nofile``: the soft limit on descriptors that script sessions get. Raises ConfigError.
    """
    own_id = cloud_id(config.data_dir)
    runtime = chosen_runtimes(config, own_id, nofile)
    if detection.nameless(config):
        return Identity(own_id, config.hostname, find_name=runtime.host_name), runtime
    return Identity(own_id, config.hostname), runtime


def run(config: Config, *, nofile: int, ready: Callable[[], None]) -> int:
    """Be the daemon until a signal says stop; the exit code. ``ready`` is called once, when subscribed and ready.

    Raises PyCloudError where the cloud cannot be built.
    """
    daemon = Daemon(config, nofile)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, daemon.on_signal)
    try:
        daemon.start()
        if daemon.started:
            log.info("ready: cloud %s takes requests on %s.*", daemon.identity.id, config.namespace)
            ready()
        daemon.serve()
    finally:
        daemon.stop()
    return 0
