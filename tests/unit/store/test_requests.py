"""What Redis is sent to claim, renew and answer a request, and what its replies mean. No script runs here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Event, RemoveResponse
from pycloud.protocol.session import Session, State
from pycloud.store import requests
from pycloud.store.requests import (
    MAX_TAKEOVERS,
    Claim,
    ClaimResult,
    CommitResult,
    ExpiredClaim,
    RequestStore,
)
from pycloud.transport.pipeline import DeadlineExceeded, LuaScript

NODE, KEYS = "c" * 10, Keys("p")
CLAIM = Claim("create", "r", "digest", "token")
RESPONSE = RemoveResponse(NODE, "s", status=True)
#: Milliseconds, as docs/protocol.md has them.
LEASE, TEN_MINUTES, STATUS_STORED, ERROR_STORED, NAME_RESERVED = 5_000, 600_000, 8_000, 5_000, 15_000
#: Indexes of arguments of the script that commits.
RESPONSE_TTL, CHANGE, RETRY_AFTER, NAME_STATE = 4, 6, 13, 14


class Pipeline:
    """Records what is run, and replies ``reply``. It is too late for what has to be sent before ``now``."""

    def __init__(self) -> None:
        self.run_id, self.now = "run2", 1000.0
        self.reply: Any = b"committed"
        self.runs: list[tuple[Sequence[str], Sequence[Any]]] = []
        self.deadlines: list[float] = []
        self.commands: list[tuple[Any, ...]] = []
        self.on_command: Callable[[tuple[Any, ...]], Any] = lambda _command: 0

    def eval_script(
        self, _script: LuaScript, keys: Sequence[str], args: Sequence[Any], *, deadline: float = float("inf")
    ) -> Any:
        self.deadlines.append(deadline)
        if deadline < self.now:
            raise DeadlineExceeded
        self.runs.append((keys, args))
        return self.reply(args) if callable(self.reply) else self.reply

    def eval_scripts(self, script: LuaScript, runs: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        return [self.eval_script(script, keys, args)[index] for index, (keys, args) in enumerate(runs)]

    def execute(self, *command: Any) -> Any:
        self.commands.append(command)
        return self.on_command(command)

    def execute_many(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [self.execute(*command) for command in commands]

    def send(self, *command: Any, max_age: float | None = None) -> None:
        self.commands.append((*command, max_age))


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
def store(pipeline: Pipeline) -> RequestStore:
    return RequestStore(cast(Any, pipeline), KEYS, NODE, 3600.0)


def session(state: State = State.RUNNING, name: str | None = None) -> Session:
    ended = None if state is State.RUNNING else 1001.0
    return Session("s", "r", "digest", "token", "h", 1000.0, state=state, ended=ended, name=name)


@pytest.mark.parametrize(("op", "bounded"), [("create", True), ("remove", False), ("status", False)])
def test_only_a_create_is_abandoned_after_two_takeovers(
    pipeline: Pipeline, store: RequestStore, op: str, bounded: bool
) -> None:
    """It may be what kills the nodes; a remove that its owner has begun is finished in any case."""
    pipeline.reply = [b"abandoned", 0]
    assert store.claim(replace(CLAIM, op=op), b"payload")[0] is ClaimResult.ABANDONED
    keys, args = pipeline.runs[0]
    assert keys == [f"{{p}}:request:{op}:r", "{p}:claims"]
    assert tuple(args[:5]) == (f"{op}:r", "token", NODE, "digest", b"payload")
    assert tuple(args[5:7]) == (LEASE, TEN_MINUTES)
    assert (args[7] == MAX_TAKEOVERS == 2) is bounded
    assert bounded or args[7] > 1_000_000


@pytest.mark.parametrize(
    ("fresh_until", "valid_until", "delayed"),
    [(1001.0, 1540.0, [0]), (999.0, 1540.0, [1]), (999.0, 999.0, []), (2000.0, 999.0, [])],
)
def test_a_delayed_request_is_claimed_as_such_and_one_that_comes_too_late_is_not_claimed(
    pipeline: Pipeline, store: RequestStore, fresh_until: float, valid_until: float, delayed: list[int]
) -> None:
    pipeline.reply = [b"answered", 1500]
    found = store.claim(CLAIM, b"payload", own_session=True, fresh_until=fresh_until, valid_until=valid_until)
    assert found == ((ClaimResult.ANSWERED, 1.5) if delayed else (ClaimResult.HELD, 0.0))
    assert [tuple(args[8:]) for _keys, args in pipeline.runs] == [("run2", 1, each) for each in delayed]


def test_the_claims_that_this_node_still_has_are_renewed_with_their_names(
    pipeline: Pipeline, store: RequestStore
) -> None:
    pipeline.reply = [1, 0, 1]
    claims = [replace(CLAIM, id="r1", name="web"), replace(CLAIM, id="r2"), replace(CLAIM, id="r3")]
    assert store.renew(iter(claims)) == [claims[0], claims[2]]
    assert [list(keys) for keys, _args in pipeline.runs] == [
        ["{p}:request:create:r1", "{p}:claims", "{p}:name:web"],
        ["{p}:request:create:r2", "{p}:claims"],
        ["{p}:request:create:r3", "{p}:claims"],
    ]
    assert pipeline.runs[0][1] == ("create:r1", "token", LEASE, TEN_MINUTES, NAME_RESERVED, "run2")


@pytest.mark.parametrize(
    ("op", "retryable", "stored", "retry_after"),
    [
        ("create", False, TEN_MINUTES, 0),
        ("create", True, TEN_MINUTES, ERROR_STORED),
        ("remove", True, TEN_MINUTES, ERROR_STORED),
        ("status", True, STATUS_STORED, 0),
    ],
)
def test_for_how_long_a_response_is_stored(
    pipeline: Pipeline, store: RequestStore, op: str, retryable: bool, stored: int, retry_after: int
) -> None:
    claim = replace(CLAIM, op=op)
    assert store.commit(claim, RESPONSE, retryable=retryable, deadline=1500.0) is CommitResult.COMMITTED
    _keys, args = pipeline.runs[0]
    assert (args[RESPONSE_TTL], args[RETRY_AFTER], args[CHANGE]) == (stored, retry_after, "none")
    assert args[RESPONSE_TTL + 1] == f"p.{op}.r"
    assert pipeline.deadlines == [1500.0]


@pytest.mark.parametrize(
    ("state", "name", "name_state", "change"),
    [
        (State.RUNNING, "web", "live", "record"),
        (State.EXITED, "web", "ended", "record"),
        (State.RUNNING, None, "live", "record"),
        (State.REMOVED, "web", "ended", "erase"),
    ],
)
def test_a_response_is_committed_with_the_record_and_the_name_of_its_session(
    pipeline: Pipeline, store: RequestStore, state: State, name: str | None, name_state: str, change: str
) -> None:
    of, event = session(state, name), Event("session.running", NODE, 1.0)
    store.commit(CLAIM, RESPONSE, **cast(Any, {change: of}), event=event)
    keys, args = pipeline.runs[0]
    assert list(keys[2:6]) == ["{p}:session:s", "{p}:sessions", f"{{p}}:sessions:{NODE}", "{p}:events"]
    assert list(keys[6:]) == (["{p}:name:web"] if name else [])
    assert (args[CHANGE], args[CHANGE + 1], args[NAME_STATE]) == (change, "s", name_state)
    assert (b"session.running" in args[10], "running" in args[15:]) == (True, change == "record" and of.alive)


@pytest.mark.parametrize(
    ("record", "exists", "outcome"),
    [
        (True, 0, CommitResult.CLAIM_LOST),
        (True, 1, CommitResult.ALREADY_COMMITTED),
        (False, 1, CommitResult.CLAIM_LOST),
    ],
)
def test_a_response_that_comes_too_late_counts_only_where_the_record_shows_that_it_was_given(
    pipeline: Pipeline, store: RequestStore, record: bool, exists: int, outcome: CommitResult
) -> None:
    """It was sent, and the connection was lost after that."""
    pipeline.on_command = lambda _command: exists
    assert store.commit(CLAIM, RESPONSE, record=session() if record else None, deadline=999.0) is outcome
    assert pipeline.runs == []


def test_an_owner_answers_without_a_claim_only_while_no_other_node_answers_for_it(
    pipeline: Pipeline, store: RequestStore
) -> None:
    store.publish_response("status", "r", RESPONSE, max_age=1.5)
    assert [(name, channel, age) for name, channel, _data, age in pipeline.commands] == [("PUBLISH", "p.status.r", 1.5)]


def test_the_response_to_another_payload_is_stored_apart_from_the_first(
    pipeline: Pipeline, store: RequestStore
) -> None:
    pipeline.reply = [b"claimed", 0]
    store.claim(replace(CLAIM, variant="digest"), b"")
    keys, args = pipeline.runs[0]
    assert (keys[0], args[0]) == ("{p}:request:create:r:digest", "create+digest:r")


class Expired:
    """Requests whose claims expired: which node held them, in which run of Redis, and the sizes of their payloads."""

    def __init__(self, pipeline: Pipeline, **found: tuple[str, str, int]) -> None:
        self.found = {name.replace("_", ":"): fields for name, fields in found.items()}
        pipeline.on_command = self.reply
        pipeline.reply = [part for member in self.found for part in (member.encode(), b"1")]

    def reply(self, command: tuple[Any, ...]) -> Any:
        holder, run, size = self.found[str(command[1]).removeprefix("{p}:request:")]
        by_field = {
            "cloud": [holder.encode() or None, run.encode()],
            "payload": size if command[0] == "HSTRLEN" else b"x" * size,
        }
        return by_field[command[2]]


def test_creates_that_another_node_claimed_before_redis_was_restarted_are_not_taken_over(
    pipeline: Pipeline, store: RequestStore
) -> None:
    """They may have been answered since. A request about a session is handled by its owner, which knows its state."""
    Expired(
        pipeline,
        create_own=(NODE, "run1", 1),
        create_others=("other", "run1", 1),
        create_late=("other", "run2", 1),
        create_gone=("", "", 0),
        remove_others=("other", "run1", 1),
        unknown_others=("other", "run1", 1),  # an op of a newer version
    )
    assert [(each.op, each.id, each.own) for each in store.expired_claims()] == [
        ("create", "own", True),
        ("create", "late", False),
        ("create", "gone", False),
        ("remove", "others", False),
        ("unknown", "others", False),
    ]


def test_the_payloads_of_expired_claims_that_are_read_together_are_bounded(
    pipeline: Pipeline, store: RequestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_EXPIRED_PAYLOAD_BYTES", 10)
    Expired(pipeline, **{f"create_{number}": ("other", "run2", 6) for number in range(5)})
    assert store.expired_claims() == [ExpiredClaim("create", str(n), b"x" * 6, own=False) for n in range(2)]


def test_expired_claims_are_read_page_by_page_and_then_from_the_beginning(
    pipeline: Pipeline, store: RequestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a page of claims that no node may finish does not hide the others for ever."""
    monkeypatch.setattr(requests, "EXPIRED_CLAIMS_PAGE_SIZE", 2)
    found: dict[str, tuple[str, str, int]] = {f"create_{number}": ("other", "run2", 1) for number in range(3)}
    listed = [(member.encode(), score) for score, member in enumerate(Expired(pipeline, **found).found)]

    def page(args: Sequence[Any]) -> list[bytes]:
        rest = [entry for entry in listed if entry[1] >= float(args[0])]
        return [part for member, score in rest[: args[1]] for part in (member, b"%d" % score)]

    pipeline.reply = page
    assert [[each.id for each in store.expired_claims()] for _ in range(3)] == [["0", "1"], ["2"], ["0", "1"]]
