"""Carries a schedule out on a swarm, and heals everything afterwards.

Runs in the caller's thread. Times of the schedule are seconds since ``run`` was called.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic

import redis

from tests.chaos.nodes import Swarm
from tests.chaos.proxy import Cut
from tests.chaos.schedule import BEST, Kind, Schedule, Step

Action = Callable[[Step], None]
#: Seconds that a cloud which is to die at a point gets to come there once it is ready, and that an orderly stop takes.
TO_THE_POINT, LONGEST_STOP = 2.0, 60.0


class Saboteur:
    """``done`` counts faults by kind; ``losses`` are when Redis lost its data (from, to).

    ``story`` tells what was done when; all times are monotonic, ``begin`` is when ``run`` was called.
    """

    def __init__(self, swarm: Swarm, schedule: Schedule) -> None:
        self.done: Counter[str] = Counter({Kind.CLOCK.value: len(schedule.clocks)} if schedule.clocks else {})
        self.losses: list[tuple[float, float]] = []
        self._swarm, self._schedule = swarm, schedule
        server = swarm.server
        self._down: dict[Step, list[int]] = {}
        self._since = self.begin = 0.0
        self.story: list[tuple[float, str]] = []
        self._never = threading.Event()
        self._said: list[str] = []
        self._may_die: dict[Step, bool] = {}
        self._acts: dict[Kind, tuple[Action, Action]] = {
            Kind.KILL: (self._kill, self._relaunch),
            Kind.RESTART: (self._stop, self._launch_once_stopped),
            Kind.POINT: (self._aim, self._end_aim),
            Kind.BEST: (self._kill_best, self._relaunch),
            Kind.KEEPER: (self._kill_keeper, _nothing),
            Kind.FREEZE: (self._freeze, self._thaw),
            Kind.CUT: (self._cut, self._mend),
            Kind.UNSUBSCRIBE: (self._unsubscribe, _nothing),
            Kind.REDIS_FREEZE: (self._counted(server.freeze), lambda _step: server.thaw()),
            Kind.REDIS_RESTART: (self._counted(server.stop), lambda _step: self._start_redis(keep_data=True)),
            Kind.REDIS_CRASH: (self._counted(server.kill), lambda _step: self._start_redis(keep_data=True)),
            Kind.REDIS_LOSS: (self._counted(self._lose), lambda _step: self._start_redis(keep_data=False)),
        }

    def run(self, seconds: float) -> None:
        """All faults, each ended after its length, and the time until ``seconds`` have passed."""
        self.begin = begin = monotonic()
        moments: list[tuple[float, int, str, Action, Step]] = []
        for number, step in enumerate(self._schedule.steps):
            first, last = self._acts[step.kind]
            moments += [(step.at, number, "begins", first, step)]
            moments += [(step.at + step.length, number, "ends", last, step)] if last is not _nothing else []
        for at, _, what, act, step in sorted(moments, key=lambda moment: moment[:2]):
            self._wait(begin + at)
            self._tell(f"{what}: {step.kind} {step.detail}", [step.cloud])
            act(step)
        self._wait(begin + seconds)

    def heal(self) -> list[str]:
        """All clouds up and ready; what those said that died by themselves, or did not stop in order."""
        dead = [member for member in self._swarm.members if member.died_by_itself]
        said = self._said + [f"node {member.cloud} ended by itself: {member.daemon.log()[-600:]}" for member in dead]
        for member in self._swarm.members:
            if not member.daemon.running:
                member.kill()
                member.launch()
        self._swarm.await_ready()
        return said

    def _wait(self, moment: float) -> None:
        self._never.wait(max(0.0, moment - monotonic()))

    def _tell(self, text: str, numbers: list[int]) -> None:
        clouds = " ".join(self._swarm.members[number].cloud for number in numbers if number >= 0)
        self.story.append((monotonic(), f"{text} {clouds}"))

    def _count(self, step: Step) -> None:
        self.done[step.kind.value] += 1

    def _kill(self, step: Step) -> None:
        self._count(step)
        self._swarm.members[step.cloud].kill()
        self._down[step] = [step.cloud]

    def _relaunch(self, step: Step) -> None:
        for number in self._down.pop(step):
            self._swarm.members[number].launch()

    def _stop(self, step: Step) -> None:
        self._count(step)
        member = self._swarm.members[step.cloud]
        # One that has only just begun to start dies of the signal, as any program.
        self._may_die[step] = not member.ready
        member.stop()

    def _launch_once_stopped(self, step: Step) -> None:
        member = self._swarm.members[step.cloud]
        code = member.await_stop(LONGEST_STOP)
        if code != 0 and not (self._may_die[step] and code == -signal.SIGTERM):
            self._said.append(f"node {member.cloud} did not stop in order ({code}): {member.daemon.log()[-600:]}")
            member.kill()
        member.launch()

    def _kill_best(self, step: Step) -> None:
        self._count(step)
        victims = [number for number in self._swarm.best() if number not in self._schedule.spared][:BEST]
        self._tell("killed at once:", victims)
        for number in victims:
            self._swarm.members[number].strike()
        for number in victims:
            self._swarm.members[number].kill()
        self._down[step] = victims

    def _aim(self, step: Step) -> None:
        member = self._swarm.members[step.cloud]
        member.kill()
        member.launch(step.detail)

    def _end_aim(self, step: Step) -> None:
        """Where nothing led it to its point it is killed wherever it is: counted as what it was.

        On a busy machine it may not even have started by now.
        """
        member = self._swarm.members[step.cloud]
        member.await_end(TO_THE_POINT)
        self.done["kill" if member.daemon.running else f"point {step.detail}"] += 1
        member.kill()
        member.launch()

    def _kill_keeper(self, step: Step) -> None:
        if self._swarm.members[step.cloud].kill_keeper():
            self._count(step)

    def _freeze(self, step: Step) -> None:
        self._count(step)
        self._swarm.members[step.cloud].daemon.send(signal.SIGSTOP)

    def _thaw(self, step: Step) -> None:
        self._swarm.members[step.cloud].daemon.send(signal.SIGCONT)

    def _cut(self, step: Step) -> None:
        self.done[f"cut {step.detail}"] += 1
        what, _, hold = step.detail.partition("+")
        proxy = self._swarm.members[step.cloud].proxy
        assert proxy is not None, "to be cut off a cloud needs a proxy"
        proxy.cut(Cut(what), hold=bool(hold))

    def _mend(self, step: Step) -> None:
        proxy = self._swarm.members[step.cloud].proxy
        assert proxy is not None
        proxy.heal()

    def _unsubscribe(self, step: Step) -> None:
        with redis.Redis.from_url(self._swarm.server.url, protocol=2, socket_timeout=5) as client:
            client.client_kill_filter(_type="pubsub")
        self._count(step)

    def _counted(self, act: Callable[[], None]) -> Action:
        def count_and_act(step: Step) -> None:
            self._count(step)
            act()

        return count_and_act

    def _lose(self) -> None:
        self._since = monotonic()
        self._swarm.server.stop()

    def _start_redis(self, *, keep_data: bool) -> None:
        self._swarm.server.start(keep_data=keep_data)
        if not keep_data:
            self.losses.append((self._since, monotonic()))


def _nothing(_step: Step) -> None:
    """This fault is over as soon as it has begun."""
