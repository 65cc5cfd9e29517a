"""What is sent for a request and to whom, what is refused before that, and output as it was written."""

from __future__ import annotations

import json

import pytest

from pycloud.client.request import build_request, output_of
from pycloud.protocol.messages import LogsResponse

SESSION = "0123456789cccccccccc"


def test_a_create_may_be_answered_by_any_cloud() -> None:
    ask = build_request("create", {"script": "x"}, "r1")

    assert (ask.owner, ask.direct_only) == (None, False)
    assert json.loads(ask.payload) == {"id": "r1", "script": "x"}


def test_the_owner_is_read_off_the_session() -> None:
    ask = build_request("status", {"session": SESSION}, "r1")

    assert (ask.owner, ask.direct_only) == ("cccccccccc", False)
    assert json.loads(ask.payload) == {"id": "r1", "op": "status", "session": SESSION}


def test_what_is_no_session_id_is_asked_of_all() -> None:
    assert build_request("status", {"session": "who?"}, "r1").owner is None


def test_logs_come_from_the_owner_only() -> None:
    assert build_request("logs", {"session": SESSION}, "r1").direct_only
    with pytest.raises(ValueError, match="not a session id"):
        build_request("logs", {"session": "who?"}, "r1")


@pytest.mark.parametrize(
    ("op", "fields", "request_id", "reason"),
    [
        ("dance", {}, "r1", "not a request; the requests are create, status"),
        ("create", {"script": "x"}, "", "not a request id"),
        ("create", {"script": "x"}, "a\nb", "not a request id"),
        ("create", {"script": "x"}, "a" * 257, "not a request id"),
        ("create", {"script": "\udcff"}, "r1", "Unicode"),
    ],
)
def test_what_no_cloud_could_use_is_refused_before_it_is_sent(
    op: str, fields: dict[str, str], request_id: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        build_request(op, fields, request_id)


def test_output_comes_out_as_it_was_written() -> None:
    assert output_of(LogsResponse("c", "s", True, 0, "gr\u00fc\u00df", "utf-8")) == "gr\u00fc\u00df".encode()
    assert output_of(LogsResponse("c", "s", True, 0, "AP8=", "base64")) == b"\x00\xff"
    with pytest.raises(LookupError):
        output_of(LogsResponse("c", "s", False))
