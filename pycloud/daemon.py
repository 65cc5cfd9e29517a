"""Builds this cloud from its parts, starts them in order, and stops them in the reverse one.

Intake stops first, then what is being worked on is waited for, then what it talked to is closed.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

import gevent
import redis
from gevent.event import Event as Flag

import pycloud
from pycloud import adoption, messages
from pycloud.bus import Bus
from pycloud.cloud import Cloud
from pycloud.config import Config
from pycloud.connections import Outage
from pycloud.errors import PyCloudError
from pycloud.heartbeat import Heartbeat
from pycloud.identity import Identity, cloud_id
from pycloud.intake import Intake
from pycloud.names import Names
from pycloud.redis_url import hide_password
from pycloud.registry import Registry
from pycloud.runtimes import Found
from pycloud.runtimes.script import ScriptRuntime
from pycloud.subscriber import Subscriber

log = logging.getLogger(__name__)

#: Seconds that work in progress gets at a stop, and that the last messages get to leave.
FINISH_PATIENCE, FAREWELL = 10.0, 1.0
#: Seconds between two times that all sessions are written to Redis again: their records expire there.
REFRESH = 3 * 3600.0


class Daemon:
    """All parts of one cloud. ``nofile`` is the soft limit on descriptors that sessions get."""

    def __init__(self, config: Config, nofile: int) -> None:
        self._config = config
        self.identity = Identity(cloud_id(config.data_dir), config.hostname)
        names, outage = Names(config.namespace), Outage()
        self.runtime = ScriptRuntime(config, self.identity.id, nofile)
        self.bus = Bus(config.redis, outage)
        self.registry = Registry(self.bus, names, self.identity.id, config.remember)
        self.cloud = Cloud(
            self.identity, self.runtime, self.registry, stop_grace=config.stop_grace, remember=config.remember
        )
        self.intake = Intake(self.cloud, names, config.max_script_bytes)
        self.heartbeat = Heartbeat(self.cloud, self.intake, config.heartbeat, self._deaf)
        handlers = {**self.intake.handlers(), names.rank_channel: self.heartbeat.hear}
        self.subscriber = Subscriber(config.redis, handlers, outage)
        self.bus.on_connect = self._on_connect
        self._announced = Flag()
        self._stop_wanted = Flag()
        self._hurry = Flag()
        self._fatal: PyCloudError | None = None
        self._refresher: gevent.Greenlet | None = None

    def start(self) -> None:
        """Adopt, connect, announce, and only then subscribe. Waits for Redis as long as that takes, or a stop."""
        self.runtime.open()
        found = self.runtime.recover()
        adoption.adopt(self.cloud, found)
        log.info("pycloud %s, %s", pycloud.__version__, self._introduction())
        self.bus.start()
        self.cloud.claims.start()
        self._until(self._announced)
        if self._stop_wanted.is_set():
            return
        self._finish_old_work(found)
        self.subscriber.start()
        self._until(self.subscriber.subscribed)
        if self._stop_wanted.is_set():
            return
        self.heartbeat.start()
        self._refresher = gevent.spawn(self._refresh_for_ever)
        self._tell("cloud.up")

    def serve(self) -> None:
        """Run until a signal says stop. Raises PyCloudError where Redis turned out to be of no use."""
        self._stop_wanted.wait()
        if self._fatal is not None:
            raise self._fatal

    def stop(self) -> None:
        """In order; a second signal makes it quick."""
        log.info("stopping; sessions %s", "go on" if self._config.on_stop == "keep" else "are removed")
        self.heartbeat.stop()
        self.subscriber.stop()
        self._unless_hurried(lambda: self.intake.finish(FINISH_PATIENCE))
        if self._config.on_stop == "remove":
            self._unless_hurried(self.cloud.remove_all)
        if self._refresher is not None:
            self._refresher.kill()
        self._tell("cloud.down")
        self.registry.leave()
        if self.bus.connected.is_set():
            self.bus.flush(FAREWELL)
        self.cloud.claims.stop()
        self.cloud.watchers.stop()
        self.bus.stop()
        self.runtime.close()

    def on_signal(self) -> None:
        """SIGTERM or Ctrl-C: only sets a flag."""
        (self._hurry if self._stop_wanted.is_set() else self._stop_wanted).set()

    def _introduction(self) -> str:
        address = hide_password(self._config.redis)
        return f"cloud {self.identity.id}, Redis {address}, runtime {self.runtime.kind}, {self.cloud.alive} sessions"

    def _on_connect(self, other_server: bool) -> None:
        log.debug("connected to %s Redis", "another" if other_server else "the same")
        try:
            self._announce()
        except redis.ResponseError as error:
            self._fatal = PyCloudError(f"Redis refuses what PyCloud needs: {error}")
            self._stop_wanted.set()

    def _announce(self) -> None:
        """What Redis may have forgotten is written again, from what runs here."""
        cloud = self.cloud
        for session in self.registry.recorded() - set(cloud.sessions):
            self.registry.erase(session)
        # Looked at only when their turn comes: what was removed meanwhile must not be written again.
        there = (session for session in list(cloud.sessions.values()) if session.id in cloud.sessions)
        self.registry.announce(there)
        living = (s for s in list(cloud.sessions.values()) if s.answered and s.alive and s.id in cloud.sessions)
        self.registry.restore((session, session.token) for session in living)
        self._announced.set()

    def _finish_old_work(self, found: list[Found]) -> None:
        adoption.finish(self.cloud, found)
        if found:
            log.info("adopted %d sessions, %d of them alive", len(found), self.cloud.alive)

    def _refresh_for_ever(self) -> None:
        while True:
            gevent.sleep(REFRESH)
            self._announce()

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


def run(config: Config, *, nofile: int, ready: Callable[[], None]) -> int:
    """Be the daemon until a signal says stop; the exit code. ``ready`` is called once, when subscribed and ready.

    Raises PyCloudError where the cloud cannot be built.
    """
    daemon = Daemon(config, nofile)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, daemon.on_signal)
    try:
        daemon.start()
        if daemon.subscriber.subscribed.is_set():
            log.info("ready: cloud %s takes requests on %s.*", daemon.identity.id, config.namespace)
            ready()
        daemon.serve()
    finally:
        daemon.stop()
    return 0
