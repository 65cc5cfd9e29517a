"""The orders of sessions (``--sort``). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pycloud.client import SessionRecord
from pycloud.protocol.session import State

#: Order of the states for ``--sort state``: the most urgent first.
_BY_URGENCY = (State.LOST, State.FAILED, State.STARTING, State.RUNNING, State.EXITED, State.REMOVED)
SORT_FUNCTIONS: dict[str, Callable[[SessionRecord], tuple[int | str, ...]]] = {
    "state": lambda record: (_urgency(record.state), record.state),
    "host": lambda record: (record.host or "",),
    "cloud": lambda record: (record.cloud,),
    "name": lambda record: (0 if record.name else 1, record.name or ""),
}


def in_order(records: Sequence[SessionRecord], order: str) -> list[SessionRecord]:
    """``records``, which must be in order of age, sorted by ``order``; equal ones stay in order of age."""
    return sorted(records, key=SORT_FUNCTIONS[order]) if order in SORT_FUNCTIONS else list(records)


def _urgency(state: str) -> int:
    return next((place for place, known in enumerate(_BY_URGENCY) if known == state), len(_BY_URGENCY))
