"""One round: a swarm, a load, a schedule of faults, the healing, and the verdict."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from random import Random

import redis

from tests.chaos import checker
from tests.chaos.fault_injector import Saboteur
from tests.chaos.history import Record
from tests.chaos.load import Load, Plan
from tests.chaos.machine import look
from tests.chaos.nodes import Swarm
from tests.chaos.response_listener import Ears
from tests.chaos.schedule import KILLS, Kind, Schedule, draw
from tests.chaos.violation import Violation
from tests.support import skewed_clock
from tests.support.engine import Engine
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

#: Seconds that everything gets to become quiet once all is healed.
PATIENCE = 60.0
#: Where servers are put that go away and come back: no outgoing connection gets a port from there meanwhile.
PORTS = (20000, 30000)
#: The note that counts the sessions that were containers.
BOXES = "containers"
#: The last line of a traceback in a log.
TRACEBACK = re.compile(r"^Traceback .*\n(?:[ \t].*\n)+(\S.{0,120})", re.MULTILINE)


@dataclass
class Result:
    """What a round came to. ``faults`` and ``notes`` count by kind; ``story`` tells what happened when, in seconds."""

    seed: int
    creates: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    by_cloud: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)


def possible(kinds: Collection[Kind]) -> tuple[Kind, ...]:
    """The kinds that this machine can do: the clock needs libfaketime."""
    return tuple(kind for kind in kinds if kind is not Kind.CLOCK or skewed_clock.LIBRARY.exists())


def schedule_of(seed: int, seconds: float, kinds: Collection[Kind], plan: Plan, clouds: int = 4) -> Schedule:
    """What ``play`` carries out."""
    if plan.once and not set(kinds) <= set(KILLS):
        raise ValueError("requests that are published only once can be promised nothing but with kills")
    spared = [Random(seed).randrange(clouds)] if plan.once else []
    return draw(seed, seconds, clouds, possible(kinds), spared)


def play(
    seed: int, seconds: float, kinds: Collection[Kind], plan: Plan, clouds: int = 4, engine: Engine | None = None
) -> Result:
    """A round of faults drawn from ``seed``. Where requests go out only once, one cloud is spared all of them.

    Published once, a request is only safe with a cloud that lives on after it heard it. ``engine``: runs what of the
    load is containers, and is empty afterwards.
    """
    schedule = schedule_of(seed, seconds, kinds, plan, clouds)
    with _stage(schedule, clouds, plan, engine=engine) as (swarm, load, ears):
        saboteur = Saboteur(swarm, schedule)
        saboteur.run(seconds)
        load.stop()
        said = saboteur.heal()
        result = _judge(seed, swarm, load, ears, saboteur.losses)
        result.faults = saboteur.done + Counter({f"published {n} times": _copies(load, n) for n in (2, 10)})
        result.violations += [Violation("died", "a cloud", text) for text in said]
        result.story = _story(saboteur, load, ears, {violation.subject for violation in result.violations})
    return result


def _story(saboteur: Saboteur, load: Load, ears: Ears, subjects: Collection[str]) -> list[str]:
    """All faults, and when the requests in question went out and were answered."""
    events = list(saboteur.story)
    for asked in load.asked.values():
        if asked.id in subjects or asked.session in subjects:
            events += [(at, f"{asked.op} {asked.id} published for {asked.session or 'all'}") for at in asked.published]
            events += [
                (each.at, f"{asked.op} {asked.id}: {each.payload.decode()}") for each in ears.of(asked.op, asked.id)
            ]
    return [f"{at - saboteur.begin:7.3f} {text}" for at, text in sorted(events)]


def balance(seed: int, creates: int, clouds: int = 3, window: int = 64) -> Result:
    """No faults: so many creates, ``window`` at a time."""
    plan = Plan(rate=0, window=window, most_live=creates, creates_only=True, most=creates)
    schedule = Schedule(seed, (), {})
    with _stage(schedule, clouds, plan, proxied=False) as (swarm, load, ears):
        wait_until(lambda: load.exhausted and not load.unanswered(), 600, lambda: f"{load.creates} creates so far")
        return _judge(seed, swarm, load, ears, [])


def unevenness(result: Result, clouds: int = 3) -> float:
    """Sessions of the most loaded cloud over their mean."""
    counts = result.by_cloud
    return max(counts.values()) * clouds / max(1, sum(counts.values()))


@contextmanager
def _stage(
    schedule: Schedule, clouds: int, plan: Plan, *, proxied: bool = True, engine: Engine | None = None
) -> Iterator[tuple[Swarm, Load, Ears]]:
    with (
        RedisServer(port=_stable_port()) as server,
        Swarm(server, clouds, proxied=proxied, clocks=schedule.clocks, engine=engine) as swarm,
        Ears(server.url) as ears,
        Load(server.url, schedule.seed, plan, ears) as load,
    ):
        yield swarm, load, ears


def _stable_port() -> int:
    rng = Random()
    while True:
        with socket.socket() as probe:
            port = rng.randrange(*PORTS)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _judge(seed: int, swarm: Swarm, load: Load, ears: Ears, losses: list[tuple[float, float]]) -> Result:
    """Wait until all is quiet, look, ask for everything once more, look again."""
    load.settle(PATIENCE)
    swarm.await_beats()
    data = {member.cloud: member.daemon.data for member in swarm.members}
    blind = frozenset(member.cloud for member in swarm.members if member.keepers_killed)
    launches = {member.cloud: member.launches for member in swarm.members}

    def record() -> Record:
        return Record(list(load.asked.values()), dict(load.told), ears.of, losses, blind, launches)

    with redis.Redis.from_url(swarm.server.url, protocol=2, socket_timeout=10) as client:
        with suppress(AssertionError):  # what is wrong then is found below, with its evidence
            wait_until(lambda: not [*checker.of_machine(record(), look(data, client, swarm.engine))], PATIENCE)
        load.audit(load.told)
        load.settle(PATIENCE)
        machine, last = look(data, client, swarm.engine), record()
    parts = (checker.of_machine(last, machine), checker.of_audit(last, machine), checker.of_answers(last))
    violations = list(dict.fromkeys(chain(*parts)))
    boxes = sum(told.made_by.script.boxed for told in load.told.values())
    notes = last.notes + _tracebacks(swarm) + Counter({"gaps in the subscription": ears.gaps, BOXES: boxes})
    by_cloud = Counter({member.cloud: 0 for member in swarm.members})
    by_cloud.update(session[10:] for session in load.told)
    return Result(seed, load.creates, len(load.asked), Counter(), notes, violations, by_cloud)


def _tracebacks(swarm: Swarm) -> Counter[str]:
    """What the daemons' logs say went wrong in them, by the last line of each traceback."""
    logs = "\n".join(member.daemon.log() for member in swarm.members)
    return Counter(f"traceback: {line}" for line in TRACEBACK.findall(logs))


def _copies(load: Load, number: int) -> int:
    return sum(asked.copies == number for asked in load.asked.values())
