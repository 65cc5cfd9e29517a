"""``make bench``, ``python -m bench``: measures the rows, prints the table, and fails where a target is missed.

It also draws latency and rate over load (PNG), which needs matplotlib: ``pip install -e .[bench]``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import containers, nodes, scripts, shell, simulated_nodes
from bench.environment import Environment, filesystem_type, own_filesystem
from bench.load import create_request, session_request
from bench.measure import Reading, describe_machine

#: The measurement of each row, by the name that --row takes.
ROWS: dict[str, Callable[[Environment], Iterator[Reading]]] = {
    "status": scripts.status,
    "create-one": scripts.create_one,
    "create-many": scripts.create_many,
    "docker": containers.containers,
    "three-clouds": nodes.three_nodes,
    "bystander": nodes.bystander,
    "idle": nodes.idle,
    "restart": nodes.restart,
    "start": nodes.start,
    "ten-thousand": nodes.ten_thousand,
    "pycloudctl": shell.status,
    "list": shell.listing,
    "crowd": simulated_nodes.crowd,
}
#: Numbers of outstanding requests in the plot.
SWEEP_OUTSTANDING = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: The heads of the table's columns.
HEADER = ("row", "PyCloud", "limit", "of what", "ratio", "target", "")
#: A page of the documentation has its table between these two lines.
PAGE_BEGIN, PAGE_END = "<!-- measured by make bench: -->", "<!-- up to here -->"


@dataclass(frozen=True, slots=True)
class Point:
    """One load of the plot: responses per second and latencies (ms) with ``outstanding`` requests at a time."""

    op: str
    outstanding: int
    rate: float
    p50: float
    p99: float


def sweep(environment: Environment) -> Iterator[Point]:
    """Measure status, create and remove with more and more requests outstanding."""
    load = environment.load
    with environment.node():
        (session,) = environment.create_sessions(1)
        for outstanding in SWEEP_OUTSTANDING:
            statuses = [session_request(session)] * environment.scale_count(min(10_000, 2_000 * outstanding))
            result = load.run("status", statuses, outstanding)
            yield Point("status", outstanding, result.rate, result.p50, result.p99)
            created = load.run("create", [create_request()] * environment.scale_count(500), outstanding)
            yield Point("create", outstanding, created.rate, created.p50, created.p99)
            removes = [session_request(response["id"]) for response in created.decoded()]
            removed = load.run("remove", removes, outstanding)
            yield Point("remove", outstanding, removed.rate, removed.p50, removed.p99)


def draw_plot(points: Sequence[Point], path: Path, machine: str) -> None:
    """Draw rates and latencies (p50 to p99) over load, in two panels side by side. ``machine`` is the title."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for op in dict.fromkeys(point.op for point in points):
        of_op = [point for point in points if point.op == op]
        load = [point.outstanding for point in of_op]
        rates.plot(load, [point.rate for point in of_op], marker="o", label=op)
        (line,) = latencies.plot(load, [point.p50 for point in of_op], marker="o", label=f"{op}, p50 to p99")
        bounds = [point.p50 for point in of_op], [point.p99 for point in of_op]
        latencies.fill_between(load, *bounds, color=line.get_color(), alpha=0.2)
    for panel, title in ((rates, "answers per second"), (latencies, "latency, ms")):
        panel.set(title=title, xlabel="requests outstanding", xscale="log", yscale="log")
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.legend()
    figure.suptitle(machine)
    figure.savefig(path, dpi=120)


def format_number(number: float | None, unit: str = "") -> str:
    """A number with three significant digits and its unit; empty for None."""
    if number is None:
        return ""
    digits = 0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2 if abs(number) >= 0.1 else 4
    return f"{number:,.{digits}f} {unit}".rstrip()


def cells(reading: Reading) -> tuple[str, ...]:
    """A reading as one row of the table, in the columns of HEADER."""
    ratio = "" if reading.ratio is None else f"{reading.ratio:.2f} x"
    value, limit = format_number(reading.value, reading.unit), format_number(reading.limit, reading.unit)
    return reading.title, value, limit, reading.beside, ratio, reading.target_text(), verdict(reading)


def verdict(reading: Reading) -> str:
    """Whether the target is met; empty where there is none."""
    if not reading.target_text():
        return ""
    return "ok" if reading.met else "FAILED"


def as_text(readings: Sequence[Reading]) -> str:
    """The table in aligned columns, for a terminal."""
    return "\n".join(align_columns([HEADER, *map(cells, readings)]))


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_markdown(readings: Iterable[Reading], machine: str) -> str:
    """The table for a page of the documentation, below the line ``machine``."""
    lines = [HEADER, ("---",) * len(HEADER), *map(cells, readings)]
    return "\n".join([machine, "", *("| " + " | ".join(line) + " |" for line in lines)])


def as_json(readings: Iterable[Reading], machine: str) -> str:
    """All readings as one JSON object."""
    return json.dumps({"where": machine, "rows": [reading.as_dict() for reading in readings]}, indent=1)


def fill(page: str, table: str) -> str:
    """``page`` with ``table`` between its two marks. Raises ValueError where it does not have them."""
    head, begin, rest = page.partition(PAGE_BEGIN)
    _, end, tail = rest.partition(PAGE_END)
    if not begin or not end:
        raise ValueError(f"the page has no place for it, between {PAGE_BEGIN} and {PAGE_END}")
    return f"{head}{PAGE_BEGIN}\n\n{table}\n\n{PAGE_END}{tail}"


def fill_page(path: Path, table: str) -> None:
    """Write ``table`` between the two marks of the file ``path``. Raises ValueError where it does not have them."""
    path.write_text(fill(path.read_text(), table))


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m bench", description="PyCloud beside the limits of this machine.")
    made.add_argument("--row", action="append", choices=ROWS, metavar="NAME", help=f"only this: {', '.join(ROWS)}")
    made.add_argument("--quick", action="store_true", help="fewer rounds: whether it works, not how fast it is")
    made.add_argument("-o", "--output", choices=("table", "json", "markdown"), default="table")
    made.add_argument("--page", type=Path, metavar="FILE", help="also put the table into this page of the docs")
    made.add_argument("--plot", type=Path, metavar="FILE", help="also draw latency and rate over load (PNG)")
    return made


def measure_rows(names: list[str], *, quick: bool, root: Path | None = None) -> list[Reading]:
    """All readings of the named rows. Each is also printed on standard error as soon as it is measured."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # started programs are compiled once, as on any host
    readings: list[Reading] = []
    for name in names:
        with Environment(quick=quick, root=root) as environment:
            for reading in ROWS[name](environment):
                readings.append(reading)
                print("  ".join(filter(None, cells(reading))), file=sys.stderr, flush=True)
    return readings


def main() -> int:
    """Run the command line. Returns the exit code: 1 where a target is missed."""
    args = parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):  # SIGINT raises KeyboardInterrupt by default
        signal.signal(number, _exit_on_signal)
    with own_filesystem() as root:
        disk = f"{filesystem_type(root)} of their own" if root else filesystem_type(Path(tempfile.gettempdir()))
        machine = describe_machine(datetime.now(UTC), disk)
        readings = measure_rows(args.row or list(ROWS), quick=args.quick, root=root)
        if args.plot:
            with Environment(quick=args.quick, root=root) as environment:
                draw_plot(list(sweep(environment)), args.plot, machine)
    if args.output == "json":
        print(as_json(readings, machine))
    elif args.output == "markdown":
        print(as_markdown(readings, machine))
    else:
        print(f"\n{machine}\n\n{as_text(readings)}")
    if args.page:
        fill_page(args.page, as_markdown(readings, machine))
    return 0 if all(reading.met for reading in readings) else 1


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Raise SystemExit, so that servers, nodes, sessions and the bench's file system are cleaned up first."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
