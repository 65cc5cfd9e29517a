"""Ten thousand sessions on one cloud, beside the same cloud with hardly any."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench import resting, scripts
from bench.reading import Reading, Target
from bench.stage import Stage
from tests.support.daemon import Daemon

MANY = 10_000
FEW = "the same with 100"
SLOWER, SLOWEST = Target(most=1.5), Target(least=1 / 1.5)


def ten_thousand(stage: Stage) -> Iterator[Reading]:
    """All that is measured of one cloud, again."""
    with stage.cloud() as daemon:
        few = stage.fill(100)
        small = figures(stage, daemon, few)
        before, count = resting.footprint(daemon), stage.amount(MANY)
        all_ = few + stage.fill(count - len(few))
        each = (resting.footprint(daemon) - before) * 1024 / (count - len(few))
        large = figures(stage, daemon, all_)
        for name, (value, unit) in large.items():
            target = SLOWEST if unit == "/s" else SLOWER
            yield Reading(f"{count:,} sessions: {name}", value, unit, target, small[name][0], FEW)
        yield Reading(f"{count:,} sessions: idle CPU", resting.rest(stage, daemon), "%", resting.CPU)
        yield Reading(f"{count:,} sessions: memory of each", each, "KB", Target(most=16.0, absolute=True))
        took = resting.restarted(daemon, stage.load, all_)
        yield Reading(f"{count:,} sessions: restart, until all answer", took, "s", Target())


def figures(stage: Stage, daemon: Daemon, sessions: list[str]) -> dict[str, tuple[float, str]]:
    """What it does for those who ask, each with its unit."""
    load, rounds, session = stage.load, range(stage.rounds(7)), sessions[-1]
    churns = [scripts.churn(load, stage.amount(500)) for _ in rounds]
    return {
        "status, p50": (median(scripts.status_p50(load, session, stage.amount(300)) for _ in rounds), "ms"),
        "status, rate": (median(scripts.status_rate(load, session, stage.amount(10_000)) for _ in rounds), "/s"),
        "create, p50": (median(scripts.create_p50(load, stage.amount(100)) for _ in rounds), "ms"),
        "create, rate": (median(made for made, _gone in churns), "/s"),
        "remove, rate": (median(gone for _made, gone in churns), "/s"),
    }
