"""The decisions of the client, without Redis: what is sent, when it is repeated, what a record says."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from pycloud.client import Client, UnusableAnswer
from pycloud.client.exchange import backoff, resend_delay
from pycloud.client.records import parse_record
from pycloud.client.request import build_request, output_of
from pycloud.protocol.messages import LogsResponse
from pycloud.transport.url import check_database

SESSION = "0123456789cccccccccc"


def test_silences_double_and_are_bounded() -> None:
    assert [resend_delay(attempt) for attempt in range(6)] == [1, 2, 4, 8, 8, 8]


def test_pauses_double_and_are_bounded() -> None:
    assert [backoff(loss) for loss in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


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
    with pytest.raises(ValueError, match="no session id"):
        build_request("logs", {"session": "who?"}, "r1")


@pytest.mark.parametrize(
    ("op", "fields", "request_id", "reason"),
    [
        ("dance", {}, "r1", "no request; there are create, status"),
        ("create", {"script": "x"}, "", "no request id"),
        ("create", {"script": "x"}, "a\nb", "no request id"),
        ("create", {"script": "x"}, "a" * 257, "no request id"),
        ("create", {"script": "\udcff"}, "r1", "Unicode"),
    ],
)
def test_what_no_cloud_could_use_is_refused_before_it_is_sent(
    op: str, fields: dict[str, str], request_id: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        build_request(op, fields, request_id)


def test_a_database_of_its_own_needs_a_namespace_of_its_own() -> None:
    check_database("redis://localhost/0", "year4000.pycloud")
    check_database("redis://localhost/3", "mine")
    with pytest.raises(ValueError, match="database 3"):
        check_database("redis://localhost/3", "year4000.pycloud")


@pytest.mark.parametrize("url", ["localhost", "http://localhost", "redis://localhost?nonsense=1"])
def test_a_url_of_no_use_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError):
        Client(url)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Client(timeout=timeout)


def test_a_closed_client_says_so() -> None:
    client = Client()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.status(SESSION)


def test_a_record_has_what_its_hash_says() -> None:
    fields = {
        "cloud": "c", "state": "exited", "host": "h", "port": "", "created": "1.5", "exit_code": "0", "request": "r",
    }  # fmt: skip
    record = parse_record("s", fields)

    assert msgspec.to_builtins(record) == {
        "cloud": "c", "id": "s", "status": False, "state": "exited", "host": "h", "created": 1.5, "exit_code": 0,
        "request": "r",
    }  # fmt: skip


def test_a_record_of_a_newer_cloud_can_be_read() -> None:
    record = parse_record("s", {"cloud": "c", "state": "dreaming", "colour": "blue"})

    assert (record.state, record.status) == ("dreaming", False)


def test_a_record_that_makes_no_sense_is_named() -> None:
    with pytest.raises(UnusableAnswer, match="session s1"):
        parse_record("s1", {"cloud": "c", "state": "running", "port": "many"})


def test_output_comes_out_as_it_was_written() -> None:
    assert output_of(LogsResponse("c", "s", True, 0, "gr\u00fc\u00df", "utf-8")) == "gr\u00fc\u00df".encode()
    assert output_of(LogsResponse("c", "s", True, 0, "AP8=", "base64")) == b"\x00\xff"
    with pytest.raises(LookupError):
        output_of(LogsResponse("c", "s", False))


PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
#: What no module of the requester's side may import, and none of them may load either.
(DAEMON,) = (
    contract["forbidden_modules"]
    for contract in PROJECT["tool"]["importlinter"]["contracts"]
    if contract["name"] == "The requester's side knows nothing of the daemon"
)


@pytest.mark.parametrize("module", ["pycloud.client", "pycloud.shell.main", "pycloud.shell.prompt.prompt"])
def test_the_requesters_side_loads_nothing_of_the_daemon(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert len(DAEMON) > 5
    assert not {"gevent", "docker", *DAEMON} & set(loaded)
    if module != "pycloud.shell.prompt.prompt":
        assert not {"prompt_toolkit", "pygments", "pycloud.shell.live.feed"} & set(loaded)
