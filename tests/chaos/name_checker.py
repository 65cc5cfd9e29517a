"""The verdict on names: of all that live one session has a name; a create is refused for one that was taken. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf

from tests.chaos.history import Record
from tests.chaos.machine import Machine
from tests.chaos.requests import Asked, Told
from tests.chaos.response_listener import Heard
from tests.chaos.violation import Violation

TAKEN = "name_taken"
#: Seconds for which a name may be kept for a create that came to nothing (``name:N`` in docs/protocol.md).
KEPT = 15.0


def of_refusals(record: Record) -> Iterator[Violation]:
    """Creates that were refused for a name which no other session can have had at that time."""
    namesakes: defaultdict[str, list[Asked]] = defaultdict(list)
    for asked in record.asked:
        if asked.name:
            namesakes[asked.name].append(asked)
    for group in namesakes.values():
        for asked in group:
            others = [other for other in group if other is not asked]
            for heard in (each for each in record.heard("create", asked.id) if each.error == TAKEN):
                if not any(_may_have_it(record, other, asked.published[0], heard.at) for other in others):
                    yield Violation("free", asked.id, f"no session had the name {asked.name}: {heard.payload.decode()}")
                elif not _fits(record, asked, str(heard.fields["error"]["session"])):
                    yield Violation("wrong holder", asked.id, f"not {asked.name}: {heard.payload.decode()}")


def _fits(record: Record, asked: Asked, holder: str) -> bool:
    """Whether the session that is said to have the name may have it; one under way is known to nobody yet."""
    told = record.told.get(holder)
    return told is None or (told.made_by is not asked and told.made_by.name == asked.name)


def _may_have_it(record: Record, other: Asked, begin: float, end: float) -> bool:
    """Whether a session of that create may have had its name at some time between."""
    if not other.published or other.published[0] > end:
        return False
    sessions = [told for told in record.told.values() if told.made_by is other]
    if sessions:
        return any(_had_until(record, told) >= begin for told in sessions)
    return _kept_until(record, record.heard("create", other.id)) >= begin


def _kept_until(record: Record, answers: Sequence[Heard]) -> float:
    """Until when the name may have been kept for a create that we know no session of."""
    if answers and not record.losses and all(each.error == TAKEN for each in answers):
        return -inf  # where nothing was lost nothing was even begun
    return answers[-1].at + KEPT if answers else inf


def _had_until(record: Record, told: Told) -> float:
    """Until when at most a session had its name; one that ends by itself has it until its cloud has noticed that."""
    removal = told.removal
    answers = record.heard("remove", removal.id) if removal else []
    return min((each.at for each in answers if each.fields["status"]), default=inf)


def of_names(record: Record, machine: Machine) -> Iterator[Violation]:
    """What the living sessions are called, once all is quiet, and whom Redis knows by a name."""
    called: dict[str, str] = {}
    for session in sorted(machine.living & machine.records.keys()):
        name = machine.records[session].get("name", "")
        told = record.told.get(session)
        if told and name != told.made_by.name:
            if name or not record.losses:
                yield Violation("wrong name", session, f"made as {told.made_by.name!r}, and in Redis it is {name!r}")
            record.notes["names lost, after Redis lost its data"] += 1
        if name and name in called:
            yield Violation("two of a name", session, f"it is called {name}, and so is {called[name]}")
        if name and machine.names.get(name) != (session, "live"):
            yield Violation("name not held", session, f"it is called {name}, which is {machine.names.get(name)}")
        called[name] = session
    for name, (session, state) in sorted(machine.names.items()):
        if state == "live" and session not in machine.living:
            yield Violation("name without a session", session, f"it does not live, and has the name {name}")
