"""The table of rows: by name what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench import clouds, containers, crowd, many, resting, scripts, shell
from bench.reading import Reading
from bench.stage import Stage

ROWS: dict[str, Callable[[Stage], Iterator[Reading]]] = {
    "status": scripts.status,
    "create-one": scripts.create_one,
    "create-many": scripts.create_many,
    "docker": containers.containers,
    "three-clouds": clouds.three,
    "bystander": clouds.bystander,
    "idle": resting.idle,
    "restart": resting.restart,
    "start": resting.start,
    "ten-thousand": many.ten_thousand,
    "pycloudctl": shell.status,
    "list": shell.listing,
    "crowd": crowd.crowd,
}
