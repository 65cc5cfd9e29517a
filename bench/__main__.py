"""``make bench``, ``python -m bench``: measures the rows, prints the table, and fails where a target is not met."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import page, plot, table
from bench.disk import kind_of, own_disk
from bench.machine import where
from bench.reading import Reading
from bench.rows import ROWS
from bench.stage import Stage
from bench.sweep import sweep


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m bench", description="PyCloud beside the limits of this machine.")
    made.add_argument("--row", action="append", choices=ROWS, metavar="NAME", help=f"only this: {', '.join(ROWS)}")
    made.add_argument("--quick", action="store_true", help="fewer rounds: whether it works, not how fast it is")
    made.add_argument("-o", "--output", choices=("table", "json", "markdown"), default="table")
    made.add_argument("--page", type=Path, metavar="FILE", help="also put the table into this page of the docs")
    made.add_argument("--plot", type=Path, metavar="FILE", help="also draw latency and rate over load (PNG)")
    return made


def measure(names: list[str], *, quick: bool, place: Path | None = None) -> list[Reading]:
    """All readings of the named rows; each is said on standard error as soon as it is there."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is started here is compiled once, as everywhere else
    readings: list[Reading] = []
    for name in names:
        with Stage(quick=quick, place=place) as stage:
            for reading in ROWS[name](stage):
                readings.append(reading)
                print("  ".join(filter(None, table.cells(reading))), file=sys.stderr, flush=True)
    return readings


def main() -> int:
    """The exit code: 1 where a target is not met."""
    args = parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):  # Ctrl-C raises by itself
        signal.signal(number, _leave)
    with own_disk() as place:
        disk = f"{kind_of(place)} of their own" if place else kind_of(Path(tempfile.gettempdir()))
        machine = where(datetime.now(UTC), disk)
        readings = measure(args.row or list(ROWS), quick=args.quick, place=place)
        if args.plot:
            with Stage(quick=args.quick, place=place) as stage:
                plot.draw(list(sweep(stage)), args.plot, machine)
    if args.output == "json":
        print(table.as_json(readings, machine))
    elif args.output == "markdown":
        print(table.markdown(readings, machine))
    else:
        print(f"\n{machine}\n\n{table.text(readings)}")
    if args.page:
        page.fill(args.page, table.markdown(readings, machine))
    return 0 if all(reading.met for reading in readings) else 1


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Told to end: servers, clouds, sessions and the file system of our own go first."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
