"""Which fault happens when, drawn from a seed. Pure: the same arguments give the same schedule."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.chaos.proxy import Cut


class Kind(StrEnum):
    """The faults. Requests published twice and ten times are the load's business (``load.py``)."""

    KILL = "kill"  # SIGKILL of a cloud, and its restart
    RESTART = "restart"  # SIGTERM, and its restart once it has ended in order
    POINT = "point"  # a restart of a cloud that then dies at a named point, and another one
    BEST = "best"  # the three best-ranked clouds killed in one instant
    KEEPER = "keeper"  # SIGKILL of a keeper
    FREEZE = "freeze"  # SIGSTOP of a cloud for longer than its lease
    CUT = "cut"  # one cloud cut off from Redis, in one direction or both
    CLOCK = "clock"  # the clock of one cloud is off by an hour, all the time
    UNSUBSCRIBE = "unsubscribe"  # Redis cuts off all subscribers
    REDIS_FREEZE = "redis_freeze"
    REDIS_RESTART = "redis_restart"
    REDIS_CRASH = "redis_crash"
    REDIS_LOSS = "redis_loss"  # Redis comes back empty


EVERY = tuple(Kind)
#: After each of these a request that was published once has been heard by somebody who sees to it.
KILLS = (Kind.KILL, Kind.RESTART, Kind.POINT, Kind.BEST)
OF_REDIS = frozenset({Kind.UNSUBSCRIBE, Kind.REDIS_FREEZE, Kind.REDIS_RESTART, Kind.REDIS_CRASH, Kind.REDIS_LOSS})

POINTS = (
    *("create.claimed", "create.started", "create.committed"),
    *("remove.claimed", "remove.stopped", "remove.committed", "failover.claimed"),
)

#: Shortest and longest duration in seconds: how long the victim is away.
LENGTHS: dict[Kind, tuple[float, float]] = {
    Kind.KILL: (0.0, 3.0),
    Kind.RESTART: (0.0, 3.0),
    Kind.POINT: (2.5, 4.5),
    Kind.BEST: (0.0, 3.0),
    Kind.KEEPER: (0.0, 0.0),
    Kind.FREEZE: (6.0, 8.0),
    Kind.CUT: (2.0, 8.0),
    Kind.UNSUBSCRIBE: (0.0, 0.0),
    Kind.REDIS_FREEZE: (1.0, 7.0),
    Kind.REDIS_RESTART: (0.0, 2.0),
    Kind.REDIS_CRASH: (0.0, 2.0),
    Kind.REDIS_LOSS: (0.0, 2.0),
}
#: Seconds between the beginnings of two faults, and that a victim is left alone after it has recovered.
GAP, REST = (0.3, 2.0), 1.0
HOUR = 3600
BEST = 3


@dataclass(frozen=True)
class Step:
    """A fault of ``kind`` from second ``at`` on, for ``length`` seconds; ``cloud`` is a number, -1 where none is meant.

    ``detail``: the named point, or what is cut (``to_server``, ``to_client``, ``both``; ``+hold``: only delayed).
    """

    at: float
    kind: Kind
    cloud: int
    length: float
    detail: str = ""


@dataclass(frozen=True)
class Schedule:
    """``clocks``: seconds by which a cloud's clock is off, by its number, for the whole run; ``spared``: never hit."""

    seed: int
    steps: tuple[Step, ...]
    clocks: dict[int, int]
    spared: frozenset[int] = frozenset()

    @property
    def kinds(self) -> list[Kind]:
        """The kind of every fault that it holds."""
        return [step.kind for step in self.steps] + [Kind.CLOCK] * len(self.clocks)


def draw(seed: int, seconds: float, clouds: int, kinds: Collection[Kind], spared: Collection[int] = ()) -> Schedule:
    """Faults that begin within ``seconds``, one per victim at a time, every kind before any comes again.

    ``spared`` clouds are never killed, frozen or cut. A run too short for every kind has some of them only.
    """
    rng = Random(seed)
    clocks = {rng.randrange(clouds): rng.choice((-HOUR, HOUR))} if Kind.CLOCK in kinds else {}
    victims = [number for number in range(clouds) if number not in spared]
    steps = tuple(_steps(rng, seconds, victims, [kind for kind in Kind if kind in kinds]))
    return Schedule(seed, steps, clocks, frozenset(spared))


def _steps(rng: Random, seconds: float, victims: list[int], kinds: list[Kind]) -> Iterable[Step]:
    kinds = [kind for kind in kinds if kind is not Kind.CLOCK and not (kind is Kind.BEST and len(victims) < BEST)]
    free = dict.fromkeys([*victims, -1], 0.0)  # when each victim may be hit again; -1 is Redis
    bag: list[Kind] = []
    now = rng.uniform(*GAP)
    while kinds and now < seconds:
        if not bag:
            bag = rng.sample(kinds, len(kinds))
        kind = bag.pop()
        now, hit = _when_and_whom(rng, kind, now, free)
        step = Step(round(now, 3), kind, -1 if len(hit) > 1 else hit[0], *_how(rng, kind))
        if now < seconds:
            yield step
        free.update(dict.fromkeys(hit, now + step.length + REST))
        now += rng.uniform(*GAP)


def _when_and_whom(rng: Random, kind: Kind, now: float, free: dict[int, float]) -> tuple[float, list[int]]:
    """The first moment from ``now`` on at which this kind finds its victims unharmed, and who they are."""
    if kind in OF_REDIS:
        return max(now, free[-1]), [-1]
    clouds = [number for number in free if number >= 0]
    if kind is Kind.BEST:
        return max(now, *free.values()), clouds  # Redis too: it is asked for the ranks
    now = max(now, min(free[number] for number in clouds))
    return now, [rng.choice([number for number in clouds if free[number] <= now])]


def _how(rng: Random, kind: Kind) -> tuple[float, str]:
    """Length and detail."""
    length = round(rng.uniform(*LENGTHS[kind]), 3)
    if kind is Kind.POINT:
        return length, rng.choice(POINTS)
    if kind is Kind.CUT:
        return length, rng.choice(tuple(Cut)).value + rng.choice(("", "", "+hold"))
    return length, ""
