"""A picture of latency and rate over load (PNG). Needs matplotlib: ``pip install -e .[bench]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.sweep import Point


def draw(points: Sequence[Point], path: Path, where: str) -> None:
    """Two panels side by side: rates, and latencies from the median to the slowest of a hundred."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for op in dict.fromkeys(point.op for point in points):
        own = [point for point in points if point.op == op]
        load = [point.outstanding for point in own]
        rates.plot(load, [point.rate for point in own], marker="o", label=op)
        (line,) = latencies.plot(load, [point.p50 for point in own], marker="o", label=f"{op}, p50 to p99")
        bounds = [point.p50 for point in own], [point.p99 for point in own]
        latencies.fill_between(load, *bounds, color=line.get_color(), alpha=0.2)
    for panel, title in ((rates, "answers per second"), (latencies, "latency, ms")):
        panel.set(title=title, xlabel="requests outstanding", xscale="log", yscale="log")
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.legend()
    figure.suptitle(where)
    figure.savefig(path, dpi=120)
