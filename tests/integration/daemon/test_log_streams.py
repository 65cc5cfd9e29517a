"""Output followed through a real daemon and a real Redis: where it begins, how it ends, and the messages for it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pycloud.client import Client, NotFound, PyCloudError, RequestRefused
from pycloud.client.logs import Ended, Output, Skipped
from tests.support.daemon import Daemon
from tests.support.log_viewer import Viewer
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

RequesterOn = Callable[[RedisServer], Requester]
#: What the keeper keeps here, and more than that.
KEPT, MUCH = 1 << 20, 4 << 20


@pytest.fixture(scope="module")
def daemon(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One cloud for all tests, which keeps little of what sessions write."""
    with Daemon(tmp_path_factory.mktemp("cloud"), shared_redis.url, log_bytes=KEPT) as daemon:
        yield daemon


@pytest.fixture
def client(shared_redis: RedisServer) -> Iterator[Client]:
    with Client(shared_redis.url) as client:
        yield client


@pytest.fixture
def viewer(shared_redis: RedisServer) -> Iterator[Viewer]:
    with Viewer(shared_redis.url) as viewer:
        yield viewer


def test_a_viewer_that_vanishes_is_noticed(daemon: Daemon, client: Client, viewer: Viewer) -> None:
    session = client.create("exec sleep 1000").id
    viewer.follow(session)  # and never listens
    wait_until(lambda: f"session {session}: closed a log stream, whose viewer sent nothing" in daemon.log(), 20)


def test_a_viewer_that_says_nothing_for_long_goes_on_where_it_was(
    daemon: Daemon, client: Client, viewer: Viewer
) -> None:
    session = client.create("echo a; exec sleep 1000").id
    pieces = viewer.follow(session)
    assert next(pieces) == Output(0, b"a\n")
    wait_until(lambda: f"session {session}: closed a log stream, whose viewer sent nothing" in daemon.log(), 20)
    with (daemon.data / "logs" / f"{session}.log").open("ab") as log:
        log.write(b"b\n")
    assert next(pieces) == Output(2, b"b\n")


def test_where_it_begins(daemon: Daemon, client: Client) -> None:
    session = client.create("seq 1 5").id
    assert client.wait(session, timeout=20).exit_code == 0
    whole = b"1\n2\n3\n4\n5\n"
    for fields, expected in (
        ({}, whole),
        ({"offset": 4}, whole[4:]),
        ({"offset": 99}, b""),
        ({"tail": 3}, whole[-3:]),
        ({"lines": 2}, b"4\n5\n"),
        ({"lines": 0}, b""),
    ):
        pieces = list(client.follow_logs(session, **fields))  # type: ignore[arg-type]
        assert b"".join(piece.data for piece in pieces if isinstance(piece, Output)) == expected
        assert pieces[-1] == Ended(len(whole), "exited", 0)
    assert client.logs(session, lines=1) == b"5\n"
    with pytest.raises(RequestRefused, match="carries no times"):
        client.follow_logs(session, since=1.0)
    with pytest.raises(NotFound):
        client.follow_logs("0" * 10 + daemon.cloud)


def test_once_it_ends_where_the_output_ends_now(daemon: Daemon, client: Client) -> None:
    session = client.create("echo a; echo b; exec sleep 1000").id
    wait_until(lambda: client.logs(session) == b"a\nb\n")
    assert [*client.follow_logs(session, follow=False)] == [Output(0, b"a\nb\n"), Ended(4, "running")]
    torrent = client.create("exec yes").id
    wait_until(lambda: len(client.logs(torrent)) > 1000)
    *_, end = client.follow_logs(torrent, lines=10, follow=False)
    assert isinstance(end, Ended)


def test_a_removed_session_ends_its_stream(daemon: Daemon, client: Client) -> None:
    session = client.create("echo a; exec sleep 1000").id
    with client.follow_logs(session) as pieces:
        assert isinstance(next(pieces), Output)
        client.remove(session)
        end = next(pieces)
        assert isinstance(end, Ended)
        assert (end.offset, end.state in ("exited", "removed")) == (2, True)  # it ends before it is gone
        assert list(pieces) == []


def test_what_was_freed_before_is_told(daemon: Daemon, client: Client) -> None:
    session = client.create(f"yes | head -c {MUCH}; sleep 1000").id
    log = daemon.data / "logs" / f"{session}.log"
    wait_until(lambda: log.stat().st_size == MUCH and log.stat().st_blocks * 512 < KEPT + 2**16, 20)
    gap, *pieces = client.follow_logs(session, offset=0, follow=False)
    assert isinstance(gap, Skipped)
    assert gap.size is not None
    assert gap.offset == 0
    assert gap.size + sum(len(each.data) for each in pieces if isinstance(each, Output)) == MUCH


def test_any_thread_may_close_it(daemon: Daemon, client: Client) -> None:
    pieces = client.follow_logs(client.create("exec sleep 1000").id)
    rest: list[object] = []
    thread = threading.Thread(target=lambda: rest.extend(pieces))
    thread.start()
    pieces.close()
    thread.join(10)
    assert (thread.is_alive(), rest) == (False, [])
    pieces.close()


def test_the_messages_as_documented(daemon: Daemon, shared_redis: RedisServer, requester_on: RequesterOn) -> None:
    """Whoever speaks JSON can follow: open, acknowledge, hear the end; and what is refused says why."""
    requester = requester_on(shared_redis)
    session = requester.create("echo hello; exec sleep 1000")["id"]
    direct = f"cloud.{daemon.cloud}"
    wait_until(lambda: (daemon.data / "logs" / f"{session}.log").read_bytes())

    def follows(request: str, **fields: object) -> dict[str, Any]:
        requester.publish(direct, {"op": "follow", "id": request, "session": session, **fields})
        answer: dict[str, Any] = json.loads(requester.answers("follow", request)[-1])
        return answer

    opened = follows("f1", offset=0, lease=1)
    assert opened == {
        "cloud": daemon.cloud,
        "id": session,
        "status": True,
        "offset": 0,
        "window": 262144,
        "lease": 1.0,
    }
    said = [json.loads(each) for each in requester.answers("stream", "f1", 2)]
    assert said[:2] == [
        {"kind": "output", "offset": 0, "data": "hello\n", "encoding": "utf-8"},
        {"kind": "alive", "offset": 6},
    ]
    requester.publish(direct, {"op": "stream", "id": "f1", "session": session, "kind": "resize", "rows": 24})
    assert follows("f1", offset=0, lease=1)["status"] is True  # a repeat, and the same stream
    closed = {"kind": "closed", "reason": "the viewer sent nothing within its lease"}
    wait_until(lambda: json.loads(requester.answers("stream", "f1", 0, 0.1)[-1]) == closed)
    requester.publish(direct, {"op": "stream", "id": "f1", "session": session, "kind": "ack", "offset": 6})
    wait_until(lambda: b"no such stream" in requester.answers("stream", "f1", 0, 0.1)[-1])
    short = requester.create("sleep 0.3; exit 3")["id"]
    assert follows("f5", session=short, lease=60)["status"] is True
    # Long before the cloud would say that it lives.
    end = {"kind": "end", "offset": 0, "state": "exited", "exit_code": 3}
    assert [json.loads(each) for each in requester.answers("stream", "f5")] == [end]
    assert follows("f2", since=1)["error"]["code"] == "bad_request"
    assert follows("f3", session="0" * 20) == {"cloud": daemon.cloud, "id": "0" * 20, "status": False}
    requester.publish(direct, {"op": "stream", "id": "f4", "session": ""})
    assert json.loads(requester.answers("stream", "f4")[0])["error"]["code"] == "bad_request"


def test_the_number_of_streams_is_bounded(
    daemon: Daemon, shared_redis: RedisServer, requester_on: RequesterOn, client: Client
) -> None:
    requester = requester_on(shared_redis)
    session = client.create("exec sleep 1000").id
    for number in range(64):
        request = {"op": "follow", "id": f"n{number}", "session": session, "lease": 60}
        requester.publish(f"cloud.{daemon.cloud}", request)
    with pytest.raises(RequestRefused, match="64 log streams") as caught:
        client.follow_logs(session)
    assert caught.value.code == "too_many_streams"
    close = {"op": "stream", "id": "n7", "session": session, "kind": "close"}
    requester.publish(f"cloud.{daemon.cloud}", close)

    def served() -> bool:
        with contextlib.suppress(PyCloudError):
            client.follow_logs(session).close()
            return True
        return False

    wait_until(served)
