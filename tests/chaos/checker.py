"""The verdict: what was answered against what the machine says. Pure: finds what is wrong, with its evidence.

``of_answers`` judges what was heard, which no later look can change. ``of_machine`` judges what is there once all is
quiet, and ``of_audit`` the statuses asked at that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.chaos import name_checker
from tests.chaos.history import Record
from tests.chaos.machine import Machine
from tests.chaos.requests import EXIT_CODE, PASSING, Asked, Told
from tests.chaos.response_listener import Heard
from tests.chaos.violation import Violation

Violations = Iterator[Violation]


def of_answers(record: Record) -> Violations:
    """Lost and contradictory answers."""
    for asked in record.asked:
        heard = record.heard(asked.op, asked.id)
        if not heard and (asked.op == "create" or not asked.once):
            yield Violation("lost", asked.id, f"{asked.op} published {len(asked.published)} times, never answered")
        if asked.op == "status":
            yield from _status(record, asked, heard)
        else:
            yield from _one_payload(record, asked, heard)
        if asked.op == "create":
            yield from _refusal(record, asked, heard)
        if asked.op == "remove":
            yield from _removal(record, asked, heard)
    yield from name_checker.of_refusals(record)


def _one_payload(record: Record, asked: Asked, heard: Sequence[Heard]) -> Violations:
    """A request has one answer, however often it is repeated; errors that may pass are no last word."""
    payloads = sorted({each.payload for each in heard if each.error not in PASSING})
    if len(payloads) < 2:
        return
    if why := record.loss_between(asked, heard):
        record.notes[f"{asked.op} answered twice, {why}"] += 1
    else:
        yield Violation("contradiction", asked.id, f"{asked.op} has {len(payloads)} answers: {_join(payloads)}")


def _refusal(record: Record, asked: Asked, heard: Sequence[Heard]) -> Violations:
    """Every cloud can take what the load asks for: a good reason to refuse it is that it killed clouds, or its name."""
    for each in heard[:1]:
        if each.error == "abandoned" or (each.error == name_checker.TAKEN and asked.name):
            record.notes[f"create answered {each.error}"] += 1
        elif each.error:
            yield Violation("refused", asked.id, each.payload.decode())


def _removal(record: Record, asked: Asked, heard: Sequence[Heard]) -> Violations:
    """Nobody else removes what we remove: 'nothing there' is wrong, unless we heard before that it was removed."""
    for each in _given(heard):
        if each.fields["status"]:
            return
        if each.error == "owner_away" and each.fields["cloud"] != asked.session[10:]:
            record.notes["remove answered owner_away"] += 1
        elif record.excuses(asked.session, each):
            record.notes["remove answered false by another node, after Redis lost its data"] += 1
        elif record.lost_between(asked, each):
            # Of a session that is gone nobody keeps the answer but Redis, and the daemon that gave it.
            record.notes["remove answered false to a repeat, its first answer lost with Redis' data"] += 1
        else:
            yield _denied(asked, each)


def _denied(asked: Asked, heard: Heard) -> Violation:
    return Violation("denied", asked.id, f"session {asked.session} is there, and yet: {heard.payload.decode()}")


def _status(record: Record, asked: Asked, heard: Sequence[Heard]) -> Violations:
    firm = sorted({each.payload for each in heard if not each.fields.get("stale")})
    if len(firm) > 1 and (why := record.loss_between(asked, heard)):  # with it went who had answered
        record.notes[f"status answered twice, {why}"] += 1
    elif len(asked.published) == 1 and len(firm) > 1:
        yield Violation("contradicting answers", asked.id, f"asked once about {asked.session}, answered {_join(firm)}")
    elif asked.once and len(heard) > 1:  # with kills only nobody is late: not even the same answer comes twice
        voices = _join([each.payload for each in heard])
        yield Violation("contradicting answers", asked.id, f"asked once about {asked.session}, answered {voices}")
    for each in _given(heard):
        record.notes["stale statuses"] += bool(each.fields.get("stale"))
        if wrong := _wrong_status(record, asked, each):
            yield Violation("wrong status", asked.id, f"{wrong}, and yet: {each.payload.decode()}")


def _wrong_status(record: Record, asked: Asked, heard: Heard) -> str:
    """What an answer contradicts that we knew before we asked, or know for certain; empty where nothing."""
    told, says = record.told[asked.session], heard.fields
    if says["status"]:
        return "it was removed before we asked" if record.removed_before(told.id, asked.published[0]) else ""
    if told.removal is not None and told.removal.published and told.removal.published[0] < heard.at:
        return ""
    if record.excuses(told.id, heard):
        record.notes["status answered false by another node, after Redis lost its data"] += 1
        return ""
    if not told.made_by.script.ends:
        return "it runs until it is removed, and no remove was requested"
    if says.get("state") != "exited" or not _exit_code_fits(record, told, says.get("exit_code")):
        return f"it exited with {EXIT_CODE}"
    return ""


def _exit_code_fits(record: Record, told: Told, code: object) -> bool:
    """Only a keeper knows how its scripts ended; of containers the engine does."""
    blind = told.id[10:] in record.blind and not told.made_by.script.boxed
    return code == EXIT_CODE or (code is None and blind)


def of_machine(record: Record, machine: Machine) -> Violations:
    """What is there and should not be, and what should be there and is not."""
    yield from _orphans(record, machine)
    for session, told in record.told.items():
        fate = record.fate(session)
        if fate == "removed":
            yield from _left(session, machine)
        elif fate == "kept":
            yield from _missing(record, told, machine)
        yield from _kept_after_all(record, told, machine)
    yield from _list(record, machine)
    yield from name_checker.of_names(record, machine)
    for claim in machine.claims:
        op, _, request = claim.partition(":")
        yield Violation("unfinished", request, f"{op} claimed, and never answered nor given up")


def _orphans(record: Record, machine: Machine) -> Violations:
    """Nobody was told of these."""
    for session in sorted(machine.living - record.told.keys()):
        if session in machine.answered:
            record.notes["sessions whose answer was published while the harness was not subscribed"] += 1
            continue
        yield Violation("orphan", session, f"no response named it, and it has {machine.living_of(session)}")
    strangers = machine.traces.keys() - machine.living - record.told.keys() - machine.answered
    unheard = _unheard_twins(record, machine)
    record.notes["ended second sessions, whose answer was not received before Redis lost its data"] += len(unheard)
    for session in sorted(strangers - unheard):
        yield Violation("left behind", session, f"no response named it, and there is {machine.traces[session][0]}")


def _unheard_twins(record: Record, machine: Machine) -> frozenset[str]:
    """Ended sessions of creates that were asked again after Redis had lost its data, the first answer unheard.

    They are recorded, so that their answer was given; a living one is an orphan whatever happened to Redis.
    """
    creates = {asked.id: asked for asked in record.asked if asked.op == "create"}
    twins = set()
    for session in machine.records.keys() - machine.living - record.told.keys() - machine.answered:
        asked = creates.get(machine.records[session].get("request", ""))
        if asked is not None and record.loss_between(asked, record.heard("create", asked.id)):
            twins.add(session)
    return frozenset(twins)


def _left(session: str, machine: Machine) -> Violations:
    """Nothing of a removed session may be left."""
    for process in machine.processes.get(session, ()):
        yield Violation("left behind", session, f"removed, and pid {process.pid} lives")
    for trace in machine.traces.get(session, ()):
        yield Violation("left behind", session, f"removed, and there is {trace}")


def _kept_after_all(record: Record, told: Told, machine: Machine) -> Violations:
    """An owner knows its sessions from its host: where it says that nothing is there, nothing of it may be left.

    That holds after Redis lost its data, too.
    """
    if told.removal is None or (told.id not in machine.living and told.id not in machine.traces):
        return
    for heard in record.heard("remove", told.removal.id):
        if heard.fields["cloud"] == told.id[10:] and not heard.fields["status"]:
            yield _denied(told.removal, heard)


def _missing(record: Record, told: Told, machine: Machine) -> Violations:
    script, boxes = told.made_by.script, machine.containers.get(told.id, ())
    pids = [process.pid for process in machine.processes.get(told.id, ())]
    if not script.ends and len(pids) != 1:
        yield Violation(
            "not one process", told.id, f"{told.made_by.id} was answered with it, and its processes are {pids}"
        )
    if len(boxes) != script.boxed or (boxes and not script.ends and not boxes[0].runs):
        wanted = "one container" if script.boxed else "no container"
        yield Violation(f"not {wanted}", told.id, f"{told.made_by.id} was answered with it, and it has {list(boxes)}")
    if script.ends and (living := machine.living_of(told.id)):
        yield Violation("not ended", told.id, f"its script ends by itself, and yet there is {living}")


def _list(record: Record, machine: Machine) -> Violations:
    """The list in Redis is what the machine has, and each record says what the machine says."""
    traces = machine.traces.keys()
    there = machine.living | {
        session for session in record.told if session in traces and record.fate(session) != "removed"
    }
    there |= (machine.answered | _unheard_twins(record, machine)) & traces - record.told.keys()
    places = {"list of all": machine.listed, "records": machine.records.keys()}
    places["lists of the nodes"] = frozenset().union(*machine.owned.values())
    for place, named in places.items():
        for session in sorted(there - named):
            yield Violation("not listed", session, f"it is on the machine, and not in the {place}")
        for session in sorted(named - there):
            yield Violation("wrongly listed", session, f"it is in the {place}, and not on the machine")
    for session in sorted(there & machine.records.keys()):
        yield from _wrong_record(record, session, machine)


def _wrong_record(record: Record, session: str, machine: Machine) -> Violations:
    fields, runs = machine.records[session], session in machine.living
    state = "running" if runs else "exited"
    if fields.get("state") != state:
        yield Violation("wrong record", session, f"on the machine it is {state}, in Redis {fields}")
    elif not runs and session in record.told:
        code = int(fields["exit_code"]) if "exit_code" in fields else None
        if not _exit_code_fits(record, record.told[session], code):
            yield Violation("wrong record", session, f"it exited with {EXIT_CODE}, in Redis {fields}")


def of_audit(record: Record, machine: Machine) -> Violations:
    """The statuses asked once all was quiet: fresh, what the machine says, and by the owner."""
    for asked in record.asked:
        heard = record.heard("status", asked.id) if asked.audit else []
        for each in heard[-1:]:
            runs, says = asked.session in machine.living, each.fields
            if says["status"] != runs or says.get("stale"):
                truth = "runs" if runs else "does not run"
                yield Violation("wrong status", asked.id, f"session {asked.session} {truth}: {each.payload.decode()}")
            elif says["cloud"] != asked.session[10:]:
                yield Violation("wrong responder", asked.id, f"its owner is there: {each.payload.decode()}")
            elif runs and says.get("name") != (called := machine.records.get(asked.session, {}).get("name")):
                yield Violation("wrong name", asked.id, f"in Redis it is {called}: {each.payload.decode()}")


def _given(heard: Sequence[Heard]) -> list[Heard]:
    """Each answer when it was given: the same again is a repeat of it, and says nothing of a later moment."""
    first: dict[bytes, Heard] = {}
    for each in heard:
        first.setdefault(each.payload, each)
    return list(first.values())


def _join(payloads: Sequence[bytes]) -> str:
    return " | ".join(payload.decode() for payload in payloads[:4])
