"""What two looks at a session come to."""

from __future__ import annotations

import pytest

from pycloud.daemon.inspect import figures_of
from pycloud.runtimes import Usage


@pytest.mark.parametrize(
    ("first", "second", "percent"),
    [
        (Usage(10.0, 1.0, 0, 1), Usage(10.25, 1.125, 4096, 3), 50.0),
        (Usage(10.0, 1.0, 0, 1), Usage(10.5, 2.0, 4096, 3), 200.0),
        (Usage(10.0, 1.0, 0, 1), Usage(10.25, 0.5, 4096, 3), 0.0),
        (Usage(10.0, 1.0, 0, 1), Usage(10.0, 1.0, 4096, 3), 0.0),
    ],
)
def test_percent_of_one_processor(first: Usage, second: Usage, percent: float) -> None:
    figures = figures_of(first, second, 100.0, 133.5)
    assert figures.cpu_percent == percent
    assert (figures.cpu_seconds, figures.memory, figures.processes) == (second.cpu, 4096, 3)
    assert figures.uptime == 33.5


def test_how_long_it_runs_may_not_be_known_or_not_fit_the_clock() -> None:
    usage = Usage(0.0, 0.0, 0, 1)
    assert figures_of(usage, usage, None, 5.0).uptime is None
    assert figures_of(usage, usage, 9.0, 5.0).uptime == 0.0
