"""Each heartbeat: this cloud's rank goes out, and it looks whether it hears itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, time

import gevent
import psutil
import redis

import pycloud
from pycloud.cloud import Cloud
from pycloud.decoding import DecodeError, decode_rank
from pycloud.intake import Intake
from pycloud.messages import Rank
from pycloud.placement import score
from pycloud.registry import HEARTBEATS_REMEMBERED

log = logging.getLogger(__name__)


class Heartbeat:
    """Beats every ``interval`` seconds. ``on_deaf`` is called when the own rank was not heard for three of them."""

    def __init__(self, cloud: Cloud, intake: Intake, interval: float, on_deaf: Callable[[str], None]) -> None:
        self._cloud, self._intake, self._interval, self._on_deaf = cloud, intake, interval, on_deaf
        self._heard = monotonic()
        self._greenlets: list[gevent.Greenlet] = []

    def start(self) -> None:
        """The first beat is at once."""
        self._heard = monotonic()
        self.beat()
        self._greenlets = [gevent.spawn(self._beat_for_ever), gevent.spawn(self._sweep_for_ever)]

    def stop(self) -> None:
        """No more beats."""
        gevent.killall(self._greenlets)

    def hear(self, payload: bytes) -> None:
        """A rank came in, ours or another's."""
        try:
            rank = decode_rank(payload)
        except DecodeError as error:
            self._intake.dropped.drop("bad_rank", "the rank channel", str(error))
            return
        if rank.id == self._cloud.identity.id and rank.instance == self._cloud.identity.instance:
            self._heard = monotonic()

    def beat(self) -> None:
        """Send the rank."""
        self._cloud.registry.beat(self._rank())

    def _rank(self) -> Rank:
        identity, sessions = self._cloud.identity, self._cloud.alive
        return Rank(
            id=identity.id,
            score=score(sessions, psutil.cpu_percent(), psutil.virtual_memory().percent),
            time=time(),
            sessions=sessions,
            instance=identity.instance,
            version=pycloud.__version__,
            host=identity.host,
            runtime=self._cloud.runtime.kind,
            heartbeat=self._interval,
            dropped=self._intake.dropped.total,
        )

    def _beat_for_ever(self) -> None:
        while True:
            gevent.sleep(self._interval)
            self.beat()
            if monotonic() - self._heard > HEARTBEATS_REMEMBERED * self._interval:
                self._heard = monotonic()
                self._on_deaf("did not hear the own heartbeat")

    def _sweep_for_ever(self) -> None:
        """Apart from the beats: it waits for Redis where they must not."""
        while True:
            gevent.sleep(self._interval)
            try:
                self._intake.take_over()
            except redis.RedisError as error:
                log.warning("what other clouds left behind could not be looked through: %s", error)
