"""Short rounds of faults on real clouds: fixed seeds for each family of faults, and one seed that is drawn and printed.

``make chaos`` plays longer ones. What a violation means is said in ``verdict.py``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection

import pytest

from tests.faults.load import Plan
from tests.faults.round import Result, balance, play, possible, unevenness
from tests.faults.schedule import EVERY, KILLS, Kind

GENTLE = Plan(rate=30.0, most_live=80)
ONCE = Plan(rate=30.0, most_live=80, once=True)

FAMILIES = {
    "processes": (Kind.KILL, Kind.POINT, Kind.BEST, Kind.KEEPER, Kind.FREEZE, Kind.CUT, Kind.CLOCK),
    "redis": (Kind.UNSUBSCRIBE, Kind.REDIS_FREEZE, Kind.REDIS_RESTART, Kind.REDIS_CRASH),
    "loss": (Kind.REDIS_LOSS, Kind.KILL),
}


def show(result: Result) -> str:
    """What pytest prints where a round fails; ``python -m tests.faults.chaos`` plays it again."""
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


@pytest.mark.alone
@pytest.mark.parametrize(("family", "seed", "seconds"), [("processes", 347, 14), ("redis", 305, 10), ("loss", 30, 6)])
def test_a_family_of_faults(family: str, seed: int, seconds: float) -> None:
    clean(play(seed, seconds, FAMILIES[family], GENTLE), FAMILIES[family])


@pytest.mark.alone
def test_kills_with_every_request_published_once() -> None:
    clean(play(101, 10, KILLS, ONCE), KILLS)


@pytest.mark.alone
def test_a_seed_that_nobody_chose() -> None:
    clean(play(secrets.randbelow(1 << 31), 5, EVERY, GENTLE))


@pytest.mark.alone
def test_without_faults_all_are_made_once_and_spread_evenly() -> None:
    result = balance(15, 300)
    clean(result)
    assert unevenness(result) <= 1.05, dict(result.by_cloud)
