"""Requests that are refused, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.keeper.ipc import protocol, request_fields
from pycloud.keeper.ipc.protocol import OperationRejected

SESSION = "0123456789abcdef0123"
START = {
    "session": SESSION,
    "script": "",
    "env": {},
    "hostname": "h",
    "cloud": "c",
    "sessions": 0,
    "record": {},
}


@given(
    st.dictionaries(
        st.text(),
        st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()),
    )
)
def test_no_request_is_more_than_refused(changes: dict[str, object]) -> None:
    for message in (changes, {**START, **changes}, {**START, "port_range": list(changes.values())}):
        try:
            request_fields.start_request(message)
        except OperationRejected as error:
            assert error.code == protocol.BAD_REQUEST


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session", "../../../../etc"),
        ("session", SESSION + "\n"),
        ("session", SESSION.upper().replace("0", "A")),
        ("script", None),
        ("env", {"A": 1}),
        ("sessions", True),
        ("port_range", [1]),
        ("port_range", [10, 9]),
        ("port_range", [0, 70000]),
        ("record", None),
    ],
)
def test_a_refusal_names_the_field(field: str, value: object) -> None:
    assert request_fields.start_request(START).session == SESSION
    with pytest.raises(OperationRejected, match=field):
        request_fields.start_request({**START, field: value})


@pytest.mark.parametrize("grace", [None, -1, True, "1", float("nan"), float("inf")])
def test_grace_is_a_number_of_seconds(grace: object) -> None:
    with pytest.raises(OperationRejected):
        request_fields.grace_of({"grace": grace})
