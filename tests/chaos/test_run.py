"""Short rounds of faults on real clouds: fixed seeds for each family of faults, and one seed that is drawn and printed.

``make chaos`` plays longer ones. What a violation means is said in ``verdict.py``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.load import Plan
from tests.chaos.requests import IMAGE
from tests.chaos.run import BOXES, Result, balance, play, possible, schedule_of, unevenness
from tests.chaos.schedule import EVERY, KILLS, Kind
from tests.support import requirements
from tests.support.engine import Engine, missing

#: More sessions want a name than there are names.
GENTLE = Plan(rate=30.0, most_live=80, names=20)
ONCE = Plan(rate=30.0, most_live=80, names=20, once=True)
#: An engine starts a few containers per second.
BOXED = Plan(rate=14.0, most_live=25, boxes=0.5, names=6)

FAMILIES = {
    "processes": (*KILLS, Kind.KEEPER, Kind.FREEZE, Kind.CUT, Kind.CLOCK),
    "redis": (Kind.UNSUBSCRIBE, Kind.REDIS_FREEZE, Kind.REDIS_RESTART, Kind.REDIS_CRASH),
    "loss": (Kind.REDIS_LOSS, Kind.KILL),
}


@dataclass(frozen=True)
class Fixed:
    """A round of which the seed is chosen so that its schedule has every kind of fault."""

    seed: int
    seconds: float
    kinds: tuple[Kind, ...]
    plan: Plan = GENTLE
    clouds: int = 4

    def play(self, engine: Engine | None = None) -> Result:
        """Nothing may be violated, whatever it was."""
        result = play(self.seed, self.seconds, self.kinds, self.plan, self.clouds, engine)
        clean(result, self.kinds)
        return result


ROUNDS = {
    "processes": Fixed(1757, 12, FAMILIES["processes"]),
    "redis": Fixed(31, 8, FAMILIES["redis"]),
    "loss": Fixed(7, 5, FAMILIES["loss"]),
    "once": Fixed(845, 8, KILLS, ONCE),
    "containers": Fixed(108, 5, (Kind.KILL, Kind.RESTART, Kind.POINT, Kind.FREEZE), BOXED, clouds=3),
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A container engine with the one image that the load wants."""
    if reason := missing():
        requirements.missing(reason)
    with Engine() as made:
        made.image(IMAGE, ["sleep", "3600"])
        yield made


def show(result: Result) -> str:
    """What pytest prints where a round fails; ``python -m tests.chaos`` plays it again."""
    lines = [f"seed {result.seed}: {result.creates} creates, faults {dict(result.faults)}, {dict(result.notes)}"]
    return "\n".join([*lines, *map(str, result.violations), *(result.story if result.violations else ())])


def clean(result: Result, kinds: Collection[Kind] = ()) -> None:
    """Nothing was violated, something was asked, and every kind of fault took place."""
    print(show(result))
    assert not result.violations, show(result)
    assert result.creates > 20
    happened = {fault.split()[0] for fault in result.faults}
    assert {kind.value for kind in possible(kinds)} <= happened, show(result)


def test_nothing_is_missing_where_nothing_may_be_skipped() -> None:
    if os.environ.get("CI") == "true":
        assert set(possible(EVERY)) == set(EVERY), "`make test` installs faketime"


def test_the_families_have_every_kind() -> None:
    assert {kind for family in FAMILIES.values() for kind in family} == set(EVERY)


@pytest.mark.parametrize("name", ROUNDS)
def test_the_schedules_of_fixed_seeds_have_what_the_rounds_assert(name: str) -> None:
    """Another kind of fault, and other seeds are wanted."""
    fixed = ROUNDS[name]
    schedule = schedule_of(fixed.seed, fixed.seconds, fixed.kinds, fixed.plan, fixed.clouds)
    assert set(possible(fixed.kinds)) == set(schedule.kinds)
    points = [step.detail for step in schedule.steps if step.kind is Kind.POINT]
    assert not points or any(point.startswith("create.") for point in points), "any cloud comes to these"


@pytest.mark.alone
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_of_faults(family: str) -> None:
    ROUNDS[family].play()


@pytest.mark.alone
def test_kills_with_every_request_published_once() -> None:
    ROUNDS["once"].play()


@pytest.mark.alone
def test_containers_are_made_once_too(engine: Engine) -> None:
    result = ROUNDS["containers"].play(engine)
    assert result.notes[BOXES] > 10, show(result)


@pytest.mark.alone
def test_a_seed_that_nobody_chose() -> None:
    clean(play(secrets.randbelow(1 << 31), 5, EVERY, GENTLE))


@pytest.mark.alone
def test_without_faults_all_are_made_once_and_spread_evenly() -> None:
    result = balance(15, 300)
    clean(result)
    assert unevenness(result) <= 1.05, dict(result.by_cloud)
