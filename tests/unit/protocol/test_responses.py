"""What requesters read, byte for byte."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from pycloud.client.records import parse_record as read_record
from pycloud.protocol.messages import ErrorBody, encode
from pycloud.protocol.requests import REQUESTS, CreateRequest
from pycloud.protocol.responses import create_response, logs_response, status_response
from pycloud.protocol.session import Session, State
from pycloud.store import records

CLOUD = "b" * 10


def running() -> Session:
    """A session that runs."""
    session = Session(id="a" * 10 + CLOUD, request="r", digest="d", token="t", host="game7", created=1.5)
    session.mark_running(40123, 2.5)
    return session


def test_the_answer_to_a_create() -> None:
    expected = {"cloud": CLOUD, "id": "a" * 10 + CLOUD, "host": "game7", "port": 40123, "state": "running"}
    session = running()
    assert json.loads(encode(create_response(session))) == expected
    session.mark_exited(0, None, 3.0)
    assert json.loads(encode(create_response(session))) == expected, "a repeat hears what the first one heard"


def test_a_container_tells_all_its_ports_wherever_it_is_asked_about() -> None:
    session = Session(id="a" * 10 + CLOUD, request="r", digest="d", token="t", host="game7", created=1.5)
    ports = {"80/tcp": 32768, "53/udp": 32769}
    session.mark_running(32768, 2.5, ports)
    fields = records.record_of(session)
    record = dict(zip(fields[::2], fields[1::2], strict=True))
    away = records.stale_response("c" * 10, session.id, record, lost=False)
    for response in (create_response(session), status_response(session), away):
        answer = json.loads(encode(response))
        assert (answer["host"], answer["port"], answer["ports"]) == ("game7", 32768, ports)
    listed = read_record(session.id, record)
    assert (listed.port, listed.ports) == (32768, ports)
    assert "ports" not in json.loads(encode(status_response(running())))


def test_the_answer_to_a_status_while_it_runs_says_nothing_of_an_end() -> None:
    answer = json.loads(encode(status_response(running())))
    assert answer["status"] is True
    assert answer["state"] == "running"
    assert answer["started"] == 2.5
    assert not {"ended", "exit_code", "reason", "error"} & set(answer)


def test_the_answer_to_a_status_after_the_end() -> None:
    session = running()
    session.mark_exited(3, None, 9.0)
    answer = json.loads(encode(status_response(session)))
    assert (answer["status"], answer["state"], answer["exit_code"], answer["ended"]) == (False, "exited", 3, 9.0)
    assert "reason" not in answer


def test_an_exit_code_that_nobody_knows_is_null_and_says_why() -> None:
    session = running()
    session.mark_exited(None, "host was rebooted", 9.0)
    answer = json.loads(encode(status_response(session)))
    assert answer["exit_code"] is None
    assert answer["reason"] == "host was rebooted"


def test_a_session_that_never_ran_has_a_reason() -> None:
    session = Session(id="a" * 10 + CLOUD, request="r", digest="d", token="t", host="h", created=1.0)
    session.transition(State.FAILED)
    session.reason = "no such file"
    answer = json.loads(encode(status_response(session)))
    assert (answer["status"], answer["state"], answer["reason"]) == (False, "failed", "no such file")


def test_refusals_keep_the_original_three_keys() -> None:
    error = ErrorBody("bad_request", "why")
    body = {"code": "bad_request", "message": "why"}
    assert json.loads(encode(CreateRequest.response.rejection(CLOUD, "", error))) == {
        "cloud": CLOUD,
        "id": None,
        "error": body,
    }
    for kind in set(REQUESTS.values()) - {CreateRequest}:
        answer = json.loads(encode(kind.response.rejection(CLOUD, "s", error)))
        assert answer == {"cloud": CLOUD, "id": "s", "status": False, "error": body}


@example(text="\x80", cut=1)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(0, 50))
def test_output_cut_within_a_character_stays_text(text: str, cut: int) -> None:
    data = text.encode()[cut:]
    answer = logs_response(CLOUD, "s", cut, data)
    assert answer.encoding == "utf-8"
    assert isinstance(answer.offset, int)
    assert text.encode()[answer.offset :].decode() == answer.data


def test_output_that_is_no_text_comes_in_base64() -> None:
    answer = logs_response(CLOUD, "s", 7, b"\xff\x00\x80")
    assert (answer.encoding, answer.data, answer.offset) == ("base64", "/wCA", 7)
