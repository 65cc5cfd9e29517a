"""``python -m tests.chaos``: rounds of faults for as long as one likes, and what they came to.

Each round has a seed of its own: the first one's plus its number. ``--seed N --seconds 1`` plays round N alone.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic

from tests.chaos.load import Plan
from tests.chaos.requests import IMAGE
from tests.chaos.run import Result, balance, play, possible, unevenness
from tests.chaos.schedule import EVERY, KILLS, Kind
from tests.support.engine import Engine, missing

#: Of so many rounds the first has kills only, and requests that are published once; and only the second may lose
#: Redis' data, because that excuses much.
CYCLE = 4
#: The share of creates that are containers, where any are.
BOXES = 0.4


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="begin no new round after so long (600)")
    parser.add_argument("--round", type=float, default=30, help="seconds of faults in a round (30)")
    parser.add_argument("--seed", type=int, default=None, help="the first round's seed (default: drawn, and printed)")
    parser.add_argument("--clouds", type=int, default=4)
    parser.add_argument("--rate", type=float, help="requests per second (40; 12 with containers)")
    parser.add_argument("--live", type=int, help="sessions kept at a time (150; 40 with containers)")
    parser.add_argument("--creates", type=int, default=600, help="with --faults none: how many (600), 64 at a time")
    names = ", ".join(Kind)
    parser.add_argument("--faults", default="all", help=f"all, kills, none, or some of: {names} (with commas)")
    parser.add_argument("--containers", action="store_true", help="some sessions are containers, on a private engine")
    parser.add_argument("--once", action="store_true", help="with kills only: publish each request once, in all rounds")
    return parser.parse_args()


def kinds_of(text: str) -> tuple[Kind, ...]:
    """The kinds that ``--faults`` names. Raises ValueError."""
    if text in ("all", "kills"):
        return EVERY if text == "all" else KILLS
    return tuple(Kind(name.strip()) for name in text.split(","))


def plan_of(options: argparse.Namespace) -> Plan:
    """How much load; an engine starts a few containers per second."""
    plan = Plan(rate=12, most_live=40, boxes=BOXES, names=10) if options.containers else Plan(names=40)
    rate = plan.rate if options.rate is None else options.rate
    return replace(plan, rate=rate, most_live=options.live or plan.most_live)


@contextmanager
def engine_for(options: argparse.Namespace) -> Iterator[Engine | None]:
    """The engine that the sessions need, if any."""
    if not options.containers:
        yield None
        return
    if reason := missing():
        sys.exit(f"no containers: {reason}")
    with Engine() as engine:
        engine.image(IMAGE, ["sleep", "3600"])
        yield engine


def rounds(options: argparse.Namespace, seed: int, engine: Engine | None) -> Iterable[Result]:
    """One result after the other, until time is up."""
    if options.faults == "none":
        yield balance(seed, options.creates, options.clouds)
        return
    kinds, deadline = kinds_of(options.faults), monotonic() + options.seconds
    while monotonic() < deadline:
        once = options.once or (options.faults in ("all", "kills") and seed % CYCLE == 0)
        wanted = KILLS if once else kinds
        excluded = {Kind.REDIS_LOSS} if options.faults == "all" and seed % CYCLE != 1 else set()
        # An engine goes by its host's clock, as its cloud does: it would tell of ends an hour ago.
        excluded |= {Kind.CLOCK} if engine else set()
        wanted = tuple(kind for kind in wanted if kind not in excluded)
        plan = replace(plan_of(options), once=once)
        yield play(seed, options.round, wanted, plan, options.clouds, engine)
        seed += 1


def describe(result: Result) -> str:
    """One round in a few lines."""
    faults = sum(count for kind, count in result.faults.items() if not kind.startswith("published"))
    lines = [f"seed {result.seed}: {result.creates} creates, {result.requests} requests, {faults} faults"]
    lines += [f"    {count:5} {note}" for note, count in sorted(result.notes.items()) if count]
    lines += [f"    VIOLATION {violation}" for violation in result.violations]
    if result.violations:
        lines += [f"    {line}" for line in result.story]
    return "\n".join(lines)


def main() -> int:
    """Exit code: 0 when nothing was violated, 1 otherwise."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave no clouds behind then either
    missing = set(EVERY) - set(possible(EVERY))
    if missing:
        print(f"not on this machine (apt install faketime): {', '.join(missing)}")
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    print(f"first seed: {seed}", flush=True)
    faults: Counter[str] = Counter()
    violations: Counter[str] = Counter()
    failed, creates = [], 0
    with engine_for(options) as engine:
        for result in rounds(options, seed, engine):
            print(describe(result), flush=True)
            faults += result.faults
            violations.update(violation.kind for violation in result.violations)
            creates += result.creates
            failed += [str(result.seed)] if result.violations else []
            if options.faults == "none":
                print(f"sessions by node: {dict(result.by_cloud)}")
                print(f"most loaded / mean: {unevenness(result, options.clouds):.3f}")
    total = sum(count for kind, count in faults.items() if not kind.startswith("published"))
    print(f"\n{creates} creates, {total} faults")
    for kind, count in sorted(faults.items()):
        print(f"    {count:5} {kind}")
    print(f"violations: {sum(violations.values())} {dict(violations) or ''}")
    if failed:
        print(f"seeds that failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
