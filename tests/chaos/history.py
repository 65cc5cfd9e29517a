"""What happened in a round, and what of it a loss of Redis' data excuses. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.requests import Asked, Told
from tests.chaos.response_listener import Heard

#: Seconds between two answers of a cloud in which it has surely told a Redis that lost its data what runs there.
TOLD = 1.0


@dataclass
class Record:
    """All that happened. ``losses``: when Redis lost its data (from, to). ``blind``: clouds whose keeper was killed.
    ``launches``: when a daemon of a cloud was started.

    ``notes`` counts what is allowed and yet worth knowing.
    """

    asked: Sequence[Asked]
    told: Mapping[str, Told]
    heard: Callable[[str, str], list[Heard]]
    losses: Sequence[tuple[float, float]] = ()
    blind: frozenset[str] = frozenset()
    launches: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def loss_between(self, asked: Asked, heard: Sequence[Heard]) -> str:
        """How Redis' loss of its data explains a second answer to a request; empty where it does not."""
        for begin, end in self.losses:
            if asked.published[0] <= end and asked.published[-1] >= begin and len(asked.published) > 1:
                return "repeated after Redis lost its data"
            if asked.published[0] <= end and heard[-1].at >= begin:
                return "read late by a node that was offline when Redis lost its data"
        return ""

    def excuses(self, session: str, heard: Heard) -> bool:
        """Whether another cloud may have said that there is no such session: Redis had forgotten it.

        Only until its owner was there again, and had told Redis of it.
        """
        known, owner = self.told[session].at, session[10:]
        forgotten = any(
            known <= end and heard.at >= begin and not self._was_back(owner, end, heard.at)
            for begin, end in self.losses
        )
        return forgotten and "state" not in heard.fields and heard.fields["cloud"] != owner

    def lost_between(self, asked: Asked, heard: Heard) -> bool:
        """Whether an owner may say that nothing is there: a repeat, and the first answer was lost in between.

        Redis keeps that answer, and the daemon that gave it tells it to a Redis which has lost its data: both must have
        gone meanwhile. And only of a session that is gone: ``of_machine`` looks whether it is.
        """
        before = [at for at in asked.published if at <= heard.at]
        repeated = len(before) * asked.copies > 1
        if not repeated or not any(before[0] <= at <= heard.at for at in self.launches.get(heard.fields["cloud"], ())):
            return False
        return any(before[0] <= end and heard.at >= begin for begin, end in self.losses)

    def _was_back(self, cloud: str, since: float, moment: float) -> bool:
        """Whether a cloud was heard to answer for a while after Redis had lost its data: it tells Redis before that."""
        times = [
            heard.at
            for asked in self.asked
            for heard in self.heard(asked.op, asked.id)
            if since < heard.at < moment and heard.fields["cloud"] == cloud
        ]
        return bool(times) and max(times) - min(times) >= TOLD

    def removed_before(self, session: str, moment: float) -> bool:
        """Whether we had heard by then that the session is removed."""
        removal = self.told[session].removal
        return removal is not None and any(
            heard.at < moment and heard.fields["status"] for heard in self.heard("remove", removal.id)
        )

    def fate(self, session: str) -> str:
        """``kept``, ``removed`` (or soon to be), or ``unknown`` where no answer told and Redis lost what it knew."""
        removal = self.told[session].removal
        if removal is None or not removal.published:
            return "kept"
        answers = self.heard("remove", removal.id)
        if any(heard.fields["status"] for heard in answers):
            return "removed"
        if any(self.told[session].at <= end for _, end in self.losses):
            return "unknown"
        if any(heard.error == "owner_away" for heard in answers):
            return "removed"
        return "unknown" if removal.once else "kept"
