"""What the container runtime decides without an engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pycloud.errors import ImageDenied, ImageNotFound, StartFailed
from pycloud.runtimes import Exit, Started
from pycloud.runtimes.docker.engine.errors import EngineError, message_of, pull_failure, start_failure
from pycloud.runtimes.docker.engine.events import parse_event
from pycloud.runtimes.docker.engine.images import PullTracker
from pycloud.runtimes.docker.engine.listing import ListedContainer, containers_by_session
from pycloud.runtimes.docker.reconcile import ReconcilePlan, make_plan, record_of
from pycloud.runtimes.docker.records import ContainerRecord, ContainerRecords, Stage, decode, encode

S, T = "1" * 20, "2" * 20
CLOUD = S[10:]
WHOLE = {"request": "r", "digest": "d", "token": "t", "host": "h", "created": 1.5}


def listing(session: str, state: str, named: bool = True) -> ListedContainer:
    return ListedContainer("id", session, state, {}, named)


def made(stage: Stage, state: str | None, busy: bool = False) -> ReconcilePlan:
    """The plan for one session at ``stage`` whose container is in ``state``."""
    containers = {S: listing(S, state)} if state else {}
    records = [ContainerRecord(S, stage, 1.0)]
    return make_plan(records, records, containers, {S} if busy else ())


@pytest.mark.parametrize(
    ("stage", "state", "what"),
    [
        (Stage.RUNNING, "running", None),
        (Stage.RUNNING, "paused", None),
        (Stage.RUNNING, "exited", "ended"),
        (Stage.RUNNING, "restarting", "ended"),
        (Stage.ENDED, "restarting", "restarted"),
        (Stage.RUNNING, "dead", "ended"),
        (Stage.RUNNING, None, "missing"),
        (Stage.STARTING, None, "to_remove"),
        (Stage.STARTING, "created", "to_remove"),
        (Stage.STARTING, "running", "unfinished_starts"),
        (Stage.STARTING, "exited", "unfinished_starts"),
        (Stage.REMOVING, "exited", "ended"),
        (Stage.REMOVING, None, "missing"),
        (Stage.REMOVED, None, None),
        (Stage.ENDED, None, None),
        (Stage.ENDED, "exited", None),
        (Stage.ENDED, "running", "restarted"),
        (Stage.CLEANUP, "running", None),
    ],
)
def test_one_session(stage: Stage, state: str | None, what: str | None) -> None:
    assert [name for name, sessions in vars(made(stage, state)).items() if sessions] == ([what] if what else [])
    assert made(stage, state, busy=True) == ReconcilePlan()


def test_what_changes_while_the_engine_lists_is_not_judged() -> None:
    starting, running = ContainerRecord(S, Stage.STARTING, 1.0), ContainerRecord(S, Stage.RUNNING, 2.0)
    assert make_plan([starting], [running], {}, ()) == ReconcilePlan()
    assert make_plan([], [running], {}, ()) == ReconcilePlan()
    assert make_plan([running], [], {S: listing(S, "running")}, ()) == ReconcilePlan()  # forgotten meanwhile


def test_containers_that_nobody_knows() -> None:
    found = make_plan([], [], {S: listing(S, "running"), T: listing(T, "created")}, ())
    assert [each.session for each in found.to_adopt] == [S]
    assert [each.session for each in found.to_remove] == [T]
    assert make_plan([], [], {S: listing(S, "running", False), T: listing(T, "created", False)}, ()) == ReconcilePlan()


def test_another_container_with_a_sessions_labels_is_not_its_own() -> None:
    records = [
        ContainerRecord(S, Stage.RUNNING, 1.0, container="id"),
        ContainerRecord(T, Stage.RUNNING, 1.0, container="another"),
    ]
    assert make_plan(records, records, {each: listing(each, "running") for each in (S, T)}, ()) == ReconcilePlan(
        missing=[T]
    )
    own, copy = ({"Id": each, "Names": [f"/{name}"]} for each, name in (("own", f"pycloud_{S}"), ("copy", "x")))
    labels = {"State": "running", "Labels": {"pycloud.cloud": CLOUD, "pycloud.session": S}}
    for order in ([own, copy], [copy, own]):
        found = containers_by_session([{**each, **labels} for each in order], CLOUD)
        assert (found[S].id, found[S].named) == ("own", True)
    assert not containers_by_session([{**copy, **labels}], CLOUD)[S].named


def test_only_our_containers_are_listed() -> None:
    def one(**labels: str) -> dict[str, object]:
        return {"Id": "x", "State": "running", "Labels": {f"pycloud.{name}": value for name, value in labels.items()}}

    odd = [one(cloud=CLOUD, session=session) for session in ("../x", "x", "", T, S.upper() + "A", "\u0661" * 20)]
    containers = [one(cloud=CLOUD, session=S), one(cloud=T[10:], session=T), one(cloud=CLOUD), *odd]
    assert list(containers_by_session([*containers, {"Id": "y", "Labels": None}], CLOUD)) == [S]


def test_labels_that_make_no_sense() -> None:
    assert record_of({"pycloud.record": json.dumps(WHOLE)}) == {**WHOLE, "answered": True}
    for name in WHOLE:
        for value in (None, [], {}, True, float("nan"), float("inf")):
            assert record_of({"pycloud.record": json.dumps({**WHOLE, name: value})}) is None
        assert record_of({"pycloud.record": json.dumps({each: WHOLE[each] for each in WHOLE if each != name})}) is None
    for label in ("", "[]", "{", "null"):
        assert record_of({"pycloud.record": label}) is None
    assert record_of({}) is None


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record = ContainerRecord(
        S,
        Stage.REMOVING,
        1.5,
        {"request": "ä"},
        "id",
        3.0,
        Started(80, 1.0, {"80/tcp": 80}),
        Exit(None, "why", 2.0),
        {"n": 1},
    )
    assert decode(encode(record)) == record
    records = ContainerRecords(tmp_path / "docker", CLOUD)
    records.load()
    records.write(record)
    again = ContainerRecords(tmp_path / "docker", CLOUD)
    again.load()
    assert list(again) == [record]
    other = ContainerRecords(tmp_path / "docker", T[10:])
    other.load()
    assert list(other) == [], "they are another cloud's"
    for nonsense in (b"", b"{", b"[]", b'{"session": "x"}', encode(record).replace(b"removing", b"dancing")):
        with pytest.raises(ValueError):
            decode(nonsense)


@pytest.mark.parametrize(
    ("words", "logged_in", "kind"),
    [
        ("manifest for x:2 not found: manifest unknown: manifest unknown", True, ImageNotFound),
        ("pull access denied for x, repository does not exist or may require 'docker login'", False, ImageNotFound),
        ("pull access denied for x, repository does not exist or may require 'docker login'", True, ImageDenied),
        ("Get http://x/v2/: no basic auth credentials", False, ImageDenied),
        ("unauthorized: authentication required", True, ImageDenied),
        ("dial tcp 127.0.0.1:1: connect: connection refused", False, StartFailed),
        ("write /x: no space left on device", False, StartFailed),
    ],
)
def test_why_an_image_was_not_pulled(words: str, logged_in: bool, kind: type) -> None:
    error = pull_failure("x:2", EngineError(500, words), logged_in)
    assert type(error) is kind
    assert error.retryable
    assert words in error.message


def test_why_a_container_was_not_started() -> None:
    assert start_failure(EngineError(500, "mkdir /x: no space left on device")).retryable
    assert not start_failure(EngineError(400, "no such file or directory")).retryable
    error = OSError("outer")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert message_of(error) == "connection refused"
    error.__cause__.__cause__ = error  # a ring ends
    assert message_of(error)


def test_how_far_a_pull_is() -> None:
    layers = PullTracker("x:1")
    assert (layers.done, layers.progress().text) == (None, "asking the registry")
    for line in (
        {"status": "Pulling from x", "id": "1"},
        {"status": "Already exists", "progressDetail": {}, "id": "a"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "b"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "c"},
        {"status": "Downloading", "progressDetail": {"current": 1000000, "total": 4000000}, "id": "b"},
    ):
        layers.update(line)
    assert (layers.done, layers.progress().text) == (0.25, "1 of 3 layers, 1.0 of 4.0 MB")
    layers.update({"status": "Download complete", "id": "b"})
    layers.update({"status": "Extracting", "progressDetail": {"current": 5, "total": 9}, "id": "b"})
    layers.update({"status": "Pull complete", "id": "b"})
    layers.update({"status": "Pull complete", "id": "c"})
    assert (layers.done, layers.progress().text) == (1.0, "3 of 3 layers, 4.0 of 4.0 MB")
    layers.update({"status": "Digest: sha256:0"})
    layers.update({})
    assert layers.done == 1.0


def test_events_that_make_no_sense() -> None:
    attributes = {"pycloud.session": S, "exitCode": "137"}
    raw = {"Action": "die", "Actor": {"Attributes": attributes}, "timeNano": 1_500_000_000}
    event = parse_event(raw)
    assert event is not None
    assert (event.session, event.action, event.at, event.exit_code) == (S, "die", 1.5, 137)
    assert parse_event({**raw, "Action": "exec_create: sh"}) is None
    assert parse_event({}) is None
