"""The keeper as a process: one per data directory, its socket, its end; and many sessions at once."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from pycloud.keeper.ipc import protocol
from pycloud.keeper.system import procfs
from tests.support.keeper import (
    Client,
    KeeperProcess,
    KeeperRefusal,
    children_of,
    keeper,
    new_session,
    processes_of,
)
from tests.support.waiting import wait_until

root_only = pytest.mark.usefixtures("root")


def test_one_keeper_per_data_directory(k: KeeperProcess, c: Client) -> None:
    said = json.loads((k.data / "keeper.lock").read_text())
    assert said == {"pid": k.pid, "socket": str(k.socket), "version": protocol.VERSION}
    second = KeeperProcess(k.data, k.data / "second.sock").start(ready=False)
    assert second.wait() == 1
    assert f"another keeper holds {k.data}" in k.log.read_text()
    assert c.call("hello", version=1)["pid"] == k.pid


def test_a_successor_waits_for_its_predecessor(k: KeeperProcess) -> None:
    second = KeeperProcess(k.data, k.socket).start(ready=False)
    assert k.terminate() == 0
    try:
        wait_until(second.listens)
    finally:
        second.terminate()


def test_it_ends_by_itself(k: KeeperProcess) -> None:
    with k.client() as c:
        session = c.start("exit 0\n")
        c.event(session)
    assert k.wait(timeout=30) == 0
    assert not k.socket.exists()
    assert k.traces(session) != []
    k.start()
    with k.client() as c:
        assert c.list()[session]["exit_code"] == 0


def test_it_stays_while_a_session_lives(k: KeeperProcess) -> None:
    with k.client() as c:
        session = c.start("sleep 5.5; exit 9\n")
    wait_until(lambda: not processes_of(session), timeout=20)
    with k.client() as c:
        assert c.list()[session]["exit_code"] == 9


def test_it_takes_the_nameless_with_it(k: KeeperProcess) -> None:
    with k.client() as c:
        session = c.start("(env -i /usr/bin/setsid /bin/sleep 600 &) ; sleep 0.2; exit 0\n")
        c.event(session)
        hidden = wait_until(lambda: children_of(k.pid))
        assert c.stop(session)
    assert k.wait(timeout=30) == 0
    assert procfs.get_process(int(hidden[0])) is None


def test_signals(k: KeeperProcess, c: Client) -> None:
    session = c.start("sleep 600\n")
    for number in (1, 2, 13):
        os.kill(k.pid, number)
    assert c.state(session) == "running"
    assert k.terminate() == 0
    assert processes_of(session)
    assert (k.data / "keeper.lock").read_text() == ""


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 60) / ("e" * 60) / "keeper.sock"
    path.parent.mkdir(parents=True)
    with keeper(tmp_path / "data", path) as k, k.client() as c:
        assert len(str(path)) > 108
        assert c.call("hello", version=1)["pid"] == k.pid


@root_only
def test_another_users_connection_is_dropped(k: KeeperProcess) -> None:
    k.socket.chmod(0o777)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setuid(65534)
            with protocol.connect(k.socket, 10) as connection:
                status = 0 if connection.recv(1) == b"" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "may not connect" in k.log.read_text()


def test_bad_lines_are_answered_and_survived(k: KeeperProcess, c: Client) -> None:
    for line in (b"nonsense\n", b"[]\n", b"\xff\xfe\n", b"[" * 200_000 + b"\n", b"\n\n"):
        c.send_raw(line)
    for _ in range(4):
        answer = c.read()
        assert (answer["seq"], answer["error"]["code"]) == (None, protocol.BAD_REQUEST)
    for fields in ({}, {"op": "dance"}, {"op": "start"}, {"op": "stop", "session": "../x"}, {"op": ["list"]}):
        with pytest.raises(KeeperRefusal, match=protocol.BAD_REQUEST):
            c.call(**{"op": None, **fields})
    c.send_raw(protocol.encode({"op": "note", "session": new_session(), "note": {}}))  # no seq: no answer
    with pytest.raises(KeeperRefusal, match=protocol.NOT_FOUND):
        c.call("note", session=new_session(), note={})
    assert c.list() == {}


def test_everybody_hears_events(k: KeeperProcess, c: Client) -> None:
    with k.client() as other:
        other.call("hello", version=1)
        session = c.start("exit 1\n")
        assert other.event(session) == c.event(session)


def test_a_peer_that_does_not_read_is_dropped(k: KeeperProcess, c: Client) -> None:
    session = c.start("sleep 600\n", record={"big": "x" * 2_000_000})
    with protocol.connect(k.socket, 30) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for number in range(60):
            deaf.sendall(protocol.encode({"op": "list", "seq": number}))
        wait_until(lambda: "left" in k.log.read_text())
    assert c.state(session) == "running"


def test_a_large_list_arrives(c: Client) -> None:
    sessions = [c.start("exit 0\n", record={"big": "x" * 3_000_000}) for _ in range(24)]
    assert set(c.list()) == set(sessions)


def test_a_fast_writers_log_is_bounded(tmp_path: Path) -> None:
    keep = 1 << 20
    with keeper(tmp_path / "data", log_bytes=keep) as k, k.client() as c:
        session = c.start("while :; do echo 0123456789012345678901234567890123456789; done\n")
        log = k.data / "logs" / f"{session}.log"
        wait_until(lambda: log.stat().st_size > 6 * keep, timeout=60)
        wait_until(lambda: log.stat().st_blocks * 512 < log.stat().st_size / 2)
        os.kill(c.list()[session]["pid"], 9)
        c.event(session)
        wait_until(lambda: log.stat().st_blocks * 512 <= keep + 8192)
        assert log.stat().st_size > 6 * keep


@pytest.mark.alone
def test_a_log_that_was_quiet_for_long_has_no_head_start(tmp_path: Path) -> None:
    keep = 1 << 20
    with keeper(tmp_path / "data", log_bytes=keep) as k, k.client() as c:
        go = tmp_path / "go"
        session = c.start(f"until [ -e {go} ]; do sleep 0.05; done; exec yes\n")
        log = k.data / "logs" / f"{session}.log"
        with pytest.raises(AssertionError):  # it takes time to become quiet
            wait_until(lambda: log.stat().st_size, timeout=3)
        go.touch()
        wait_until(lambda: log.stat().st_size)
        first = time.monotonic()
        wait_until(lambda: log.stat().st_blocks * 512 < log.stat().st_size, timeout=20)
        # It used to be up to ten seconds; generous, for a machine that has other work to do.
        assert time.monotonic() - first < 5


def test_three_hundred_at_once_leave_nothing(k: KeeperProcess, c: Client) -> None:
    started = [c.send_start("sleep 600 & sleep 600\n") for _ in range(300)]
    answers = [c.answer(seq) for seq, _ in started]
    assert len({answer["port"] for answer in answers}) == 300
    stops = [c.send("stop", session=session, grace=5) for _, session in started]
    assert all(c.answer(seq)["found"] for seq in stops)
    sessions = [session for _, session in started]
    assert not processes_of(*sessions)
    assert children_of(k.pid) == []
    for seq in [c.send("forget", session=session) for session in sessions]:
        c.answer(seq)
    assert k.traces() == []
    assert c.list() == {}
