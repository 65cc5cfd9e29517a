"""Each kind of request: what is declared of it, which values are invalid, what is computed, and how it is rejected.

How payloads are decoded to them is tested in test_decoding.py, names and labels in test_validation.py.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pycloud.errors import BadRequest, ScriptTooLarge
from pycloud.protocol.container_spec import RUNTIME_NAMES
from pycloud.protocol.messages import (
    CreateResponse,
    DrainResponse,
    ErrorBody,
    FollowResponse,
    InspectResponse,
    LogsResponse,
    RemoveResponse,
    StatusResponse,
)
from pycloud.protocol.requests import (
    MAX_LEASE,
    MAX_LINES,
    MAX_OFFSET,
    MAX_TAIL,
    MAX_WINDOW,
    MIN_LEASE,
    MIN_WINDOW,
    REQUESTS,
    CreateRequest,
    DrainRequest,
    FollowRequest,
    InspectRequest,
    LogsRequest,
    RemoveRequest,
    Request,
    StatusRequest,
    StreamRequest,
)

NODE, SESSION = "c" * 10, "0" * 20
LIMIT = 1024
#: A valid request of each kind.
VALID = (
    CreateRequest("r", "script"),
    StatusRequest("r", SESSION),
    RemoveRequest("r", SESSION),
    LogsRequest("r", SESSION),
    InspectRequest("r", SESSION),
    DrainRequest("r", draining=True),
    FollowRequest("r", SESSION),
    StreamRequest("r", SESSION),
)
ABOUT_SESSIONS = tuple(request for request in VALID if not isinstance(request, CreateRequest | DrainRequest))


def kind_of(request: Any) -> str:
    return request.op if isinstance(request, Request) else str(request)


def error_of(request: Request) -> BadRequest | ScriptTooLarge | None:
    """The error with which a request is rejected; None: it is valid."""
    try:
        request.validate(LIMIT)
    except (BadRequest, ScriptTooLarge) as error:
        return error
    return None


def test_every_kind_is_registered_under_its_name_on_the_wire() -> None:
    assert {op: kind.op for op, kind in REQUESTS.items()} == {op: op for op in REQUESTS}
    assert [type(request) for request in VALID] == list(REQUESTS.values())


@pytest.mark.parametrize(
    ("kind", "op", "response"),
    [
        (CreateRequest, "create", CreateResponse),
        (StatusRequest, "status", StatusResponse),
        (RemoveRequest, "remove", RemoveResponse),
        (LogsRequest, "logs", LogsResponse),
        (InspectRequest, "inspect", InspectResponse),
        (DrainRequest, "drain", DrainResponse),
        (FollowRequest, "follow", FollowResponse),
        (StreamRequest, "stream", FollowResponse),
    ],
)
def test_the_response_to_a_kind_is_also_that_of_its_rejection(
    kind: type[Request], op: str, response: type[Any]
) -> None:
    error = ErrorBody("bad_request", "why")
    rejection = kind.response.rejection(NODE, SESSION, error)
    assert (kind.op, type(rejection)) == (op, response)
    assert (rejection.cloud, rejection.error) == (NODE, error)
    if isinstance(rejection, CreateResponse):
        assert rejection.id is None, "there is no session"
    else:
        assert (rejection.id, rejection.status) == (SESSION, False)


def test_how_each_kind_is_handled() -> None:
    def kinds_with(attribute: str) -> set[str]:
        return {op for op, kind in REQUESTS.items() if getattr(kind, attribute)}

    assert kinds_with("direct_only") == {"logs", "inspect", "drain", "follow", "stream"}
    assert kinds_with("names_session") == set(REQUESTS) - {"create", "drain"}
    assert kinds_with("read_only") == {"status"}
    assert kinds_with("deferrable") == {"remove"}


@pytest.mark.parametrize("request_", VALID, ids=kind_of)
def test_a_request_is_about_the_session_that_it_names(request_: Request) -> None:
    assert request_.session_id == (SESSION if request_ in ABOUT_SESSIONS else "")


@pytest.mark.parametrize("request_", VALID, ids=kind_of)
def test_a_valid_request_is_not_rejected(request_: Request) -> None:
    assert error_of(request_) is None


@pytest.mark.parametrize("request_", ABOUT_SESSIONS, ids=kind_of)
def test_a_request_about_a_session_must_name_it(request_: Request) -> None:
    error = error_of(msgspec.structs.replace(request_, session=""))
    assert isinstance(error, BadRequest)
    assert error.message == f"{request_.op}: `session` is empty; it must be the id of a session, 20 hex digits"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"script": ""}, "`script` is empty"),
        ({"env": {"A=B": ""}}, "`env`"),
        ({"env": {"PYCLOUD_PORT": "1"}}, "PYCLOUD_PORT"),
        ({"name": ""}, "`name`"),
        ({"name": "cafe"}, "`name`"),
        ({"labels": {"-": ""}}, "`labels`"),
    ],
)
def test_a_create_with_an_invalid_value_is_rejected(fields: dict[str, Any], named: str) -> None:
    error = error_of(msgspec.structs.replace(CreateRequest("r", "script"), **fields))
    assert isinstance(error, BadRequest)
    assert named in error.message


@pytest.mark.parametrize(
    ("script", "too_large"), [("x" * LIMIT, False), ("x" * (LIMIT + 1), True), ("é" * LIMIT, True)]
)
def test_a_script_is_limited_in_bytes_of_utf8(script: str, too_large: bool) -> None:
    assert isinstance(error_of(CreateRequest("r", script)), ScriptTooLarge) is too_large


@pytest.mark.parametrize("fields", [{"runtime": "unknown"}, {"cloud": "unknown"}, {"where": {"no": "such"}}])
def test_what_no_node_offers_at_present_is_valid(fields: dict[str, Any]) -> None:
    """It is a matter of placement: another node may offer it."""
    assert error_of(CreateRequest("r", "script", **fields)) is None


@pytest.mark.parametrize(
    ("size", "valid"), [(1, True), (MAX_TAIL, True), (0, False), (-1, False), (MAX_TAIL + 1, False)]
)
def test_the_bytes_of_logs_are_limited(size: int, valid: bool) -> None:
    error = error_of(LogsRequest("r", SESSION, bytes=size))
    assert (error is None) is valid
    assert error is None or "`bytes`" in error.message


@pytest.mark.parametrize(("field", "maximum"), [("offset", MAX_OFFSET), ("tail", MAX_OFFSET), ("lines", MAX_LINES)])
def test_where_a_stream_begins_is_limited(field: str, maximum: int) -> None:
    for value, valid in ((0, True), (maximum, True), (-1, False), (maximum + 1, False)):
        fields: dict[str, Any] = {field: value}
        error = error_of(FollowRequest("r", SESSION, **fields))
        assert (error is None) is valid
        assert error is None or error.message == f"follow: `{field}` is {value}; it must be from 0 to {maximum}"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"offset": 0, "tail": 0}, "`offset` and `tail`"),
        ({"offset": 0, "lines": 0}, "`offset` and `lines`"),
        ({"offset": 0, "since": 0.0}, "`offset` and `since`"),
        ({"tail": 0, "lines": 0}, "`tail` and `lines`"),
        ({"tail": 0, "since": 0.0}, "`tail` and `since`"),
        ({"tail": 0, "lines": 0, "since": 0.0}, "`tail` and `lines` and `since`"),
    ],
)
def test_a_stream_has_one_beginning(fields: dict[str, Any], named: str) -> None:
    error = error_of(FollowRequest("r", SESSION, **fields))
    assert isinstance(error, BadRequest)
    assert f"{named} cannot both set where the output begins" in error.message


@pytest.mark.parametrize("fields", [{"lines": 5, "since": 17.5}, {"since": -1.0}, {"offset": 7, "place": "token"}])
def test_beginnings_that_go_together_are_valid(fields: dict[str, Any]) -> None:
    assert error_of(FollowRequest("r", SESSION, **fields)) is None


def test_a_stream_has_output_only() -> None:
    error = error_of(FollowRequest("r", SESSION, kind="input" * 100))
    assert isinstance(error, BadRequest)
    assert error.message == f"follow: `kind` is {('input' * 100)[:64]!r}; the only kind is output"


@pytest.mark.parametrize(
    ("window", "granted"),
    [
        (MIN_WINDOW - 1, MIN_WINDOW),
        (MIN_WINDOW, MIN_WINDOW),
        (MIN_WINDOW + 1, MIN_WINDOW + 1),
        (MAX_WINDOW + 1, MAX_WINDOW),
    ],
)
def test_the_granted_window_is_within_its_limits(window: int, granted: int) -> None:
    assert FollowRequest("r", SESSION, window=window).granted_window == granted


@pytest.mark.parametrize(("lease", "granted"), [(0.0, MIN_LEASE), (MIN_LEASE, MIN_LEASE), (7.5, 7.5), (1e9, MAX_LEASE)])
def test_the_granted_lease_is_within_its_limits(lease: float, granted: float) -> None:
    assert FollowRequest("r", SESSION, lease=lease).granted_lease == granted


@pytest.mark.parametrize("request_", VALID, ids=kind_of)
def test_no_digest_is_taken_from_a_payload(request_: Request) -> None:
    forged = msgspec.structs.replace(request_, digest="forged")
    assert forged.with_computed_fields() == request_.with_computed_fields()
    assert forged.with_computed_fields().digest == ""


@pytest.mark.parametrize("request_", VALID, ids=kind_of)
def test_the_other_fields_of_a_request_are_as_they_were_received(request_: Request) -> None:
    computed = {"digest", "runtimes"}
    before, after = msgspec.structs.asdict(request_), msgspec.structs.asdict(request_.with_computed_fields())
    assert {key: after[key] for key in after.keys() - computed} == {
        key: before[key] for key in before.keys() - computed
    }


@pytest.mark.parametrize(
    ("script", "runtime", "runtimes"),
    [
        ("exec sleep 1", None, ("script",)),
        ('nginx\n{"port": 80}', None, ("docker",)),
        ("nginx", None, RUNTIME_NAMES),
        ("nginx", "docker", ("docker",)),
        ("exec sleep 1", "docker", ("docker",)),
        ("exec sleep 1", "unknown", ("unknown",)),
    ],
)
def test_the_runtimes_of_a_create_are_computed(script: str, runtime: str | None, runtimes: tuple[str, ...]) -> None:
    for received in ((), ("docker",), ("forged",)):
        request = CreateRequest("r", script, runtime=runtime, runtimes=received)
        assert request.with_computed_fields().runtimes == runtimes
