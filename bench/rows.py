"""The table of rows: by name what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench import scripts
from bench.reading import Reading
from bench.stage import Stage

ROWS: dict[str, Callable[[Stage], Iterator[Reading]]] = {
    "status": scripts.status,
    "create-one": scripts.create_one,
    "create-many": scripts.create_many,
}
