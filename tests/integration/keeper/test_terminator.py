"""How the keeper ends a session, all that it started, and what it left on disk."""

from __future__ import annotations

import subprocess
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
    new_session,
    processes_of,
    python,
    wait_for_output,
    wait_gone,
)
from tests.support.requirements import mount
from tests.support.waiting import wait_until

root_only = pytest.mark.usefixtures("root")


IGNORES_TERM = python("""
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    time.sleep(600)
""")


def test_stop(k: KeeperProcess, c: Client) -> None:
    session = c.start("sleep 600\n")
    assert c.stop(session)
    assert not processes_of(session)
    assert k.traces() == [f"state/{session}.journal"]
    entry = c.list()[session]
    assert (entry["state"], entry["removing"], entry["exit_code"]) == ("removed", {"why": "test"}, 143)
    assert c.stop(session)
    assert c.call("forget", session=session) == {}
    assert k.traces() == []
    assert c.list() == {}
    assert not c.stop(session)


def test_stop_of_an_ended_session_removes_it(k: KeeperProcess, c: Client) -> None:
    session = c.start("exit 4\n")
    c.event(session)
    assert k.traces() == [f"logs/{session}.log", f"state/{session}.journal", f"work/{session}"]
    assert c.stop(session)
    assert k.traces() == [f"state/{session}.journal"]
    assert c.list()[session]["exit_code"] == 4


def test_a_stop_of_nobody(c: Client) -> None:
    assert not c.stop(new_session())


def test_a_running_session_is_not_forgotten(k: KeeperProcess, c: Client) -> None:
    session = c.start("sleep 600\n")
    with pytest.raises(KeeperRefusal, match=protocol.ALIVE):
        c.call("forget", session=session)
    assert c.state(session) == "running"


def test_an_ended_session_is_forgotten(k: KeeperProcess, c: Client) -> None:
    session = c.start("exit 0\n")
    c.event(session)
    c.call("forget", session=session)
    assert k.traces() == []
    assert c.list() == {}
    c.call("forget", session=session)


def test_sigterm_first_then_sigkill(k: KeeperProcess, c: Client) -> None:
    session = c.start(IGNORES_TERM)
    wait_for_output(k, session, "up")
    begun = time.monotonic()
    assert c.stop(session, grace=0.5)
    assert time.monotonic() - begun >= 0.5
    assert c.event(session)["exit_code"] == 137


def test_no_grace_is_sigkill(k: KeeperProcess, c: Client) -> None:
    session = c.start(IGNORES_TERM)
    wait_for_output(k, session, "up")
    assert c.stop(session, grace=0)
    assert c.event(session)["exit_code"] == 137


def test_a_session_that_obeys_ends_in_its_own_way(k: KeeperProcess, c: Client) -> None:
    session = c.start('trap "exit 5" TERM; echo up; while :; do sleep 0.05; done\n')
    wait_for_output(k, session, "up")
    assert c.stop(session, grace=20)
    assert c.event(session)["exit_code"] == 5


def test_a_stopped_session_can_be_ended(k: KeeperProcess, c: Client) -> None:
    session = c.start("echo up; kill -STOP $$; exit 1\n")
    wait_for_output(k, session, "up")
    pid = c.list()[session]["pid"]
    wait_until(lambda: (p := procfs.get_process(pid)) and p.state == "T")
    assert c.stop(session, grace=20)
    assert c.event(session)["exit_code"] == 143


def test_a_second_stop_joins_and_shortens(k: KeeperProcess, c: Client) -> None:
    session = c.start(IGNORES_TERM)
    wait_for_output(k, session, "up")
    first = c.send("stop", session=session, grace=600, note={"first": 1})
    assert c.state(session) == "removing"
    second = c.send("stop", session=session, grace=0.2, note={"second": 2})
    assert c.answer(first)["found"]
    assert c.answer(second)["found"]
    assert c.list()[session]["removing"] == {"first": 1}


@pytest.mark.parametrize(
    "leaves",
    [
        "sleep 600 & sleep 600 &",  # in the group
        "setsid sleep 600 &",  # in a session of its own
        "(setsid sh -c 'setsid sleep 600 & sleep 600' &)",  # twice
        "(trap '' TERM; sleep 600) &",  # in the group, and will not listen
        "setsid sh -c 'trap \"\" TERM; sleep 600; sleep 600' &",  # elsewhere, and will not listen
    ],
)
@pytest.mark.parametrize("how", ["ends", "is stopped"])
def test_nothing_is_left_behind(k: KeeperProcess, c: Client, leaves: str, how: str) -> None:
    session = c.start(f"{leaves}\nsleep 0.1; echo up; {'exit 2' if how == 'ends' else 'sleep 600'}\n")
    wait_for_output(k, session, "up")
    if how == "ends":
        assert c.event(session)["exit_code"] == 2
        assert c.state(session) == "ended"
    assert c.stop(session, grace=0.3)
    assert not processes_of(session)
    assert children_of(k.pid) == []
    assert k.traces() == [f"state/{session}.journal"]


def test_looking_for_what_was_left_costs_no_more_where_more_sessions_live(k: KeeperProcess, c: Client) -> None:
    stray = c.start("(sleep 600 & echo $!); exec sleep 600\n")
    others = [c.start("exec sleep 600\n") for _ in range(5)]
    gone_over = Path(f"/proc/{k.pid}/task/{k.pid}/children")

    wait_until(lambda: gone_over.read_text().split() == [k.output(stray).strip()], message=gone_over.read_text)
    assert len(children_of(k.pid)) == 2 + len(others)


def test_what_a_session_leaves_is_ended_unasked(k: KeeperProcess, c: Client) -> None:
    session = c.start("sleep 600 & setsid sleep 600 & sleep 0.1; exit 0\n")
    c.event(session)
    wait_gone(session)
    wait_until(lambda: children_of(k.pid) == [])
    assert c.state(session) == "ended"
    c.call("forget", session=session)


def test_a_stray_of_a_living_session_is_left_alone(k: KeeperProcess, c: Client) -> None:
    parent = c.start("(setsid sleep 600 &) ; sleep 0.1; echo up; sleep 600\n")
    wait_for_output(k, parent, "up")
    other = c.start("sleep 600\n")
    assert c.stop(other)
    other = c.start("sleep 600 & exit 0\n")
    c.event(other)
    wait_gone(other)
    assert len(processes_of(parent)) == 3
    assert c.stop(parent)
    assert not processes_of(parent)


def test_a_stray_without_our_variable_but_in_the_process_session(k: KeeperProcess, c: Client) -> None:
    session = c.start("env -i /bin/sleep 600 & echo $!; sleep 0.1; exit 0\n")
    c.event(session)
    pid = int(k.output(session))
    wait_until(lambda: procfs.get_process(pid) is None)


def test_strays_get_sigterm_before_sigkill(k: KeeperProcess, c: Client) -> None:
    session = c.start(
        "setsid sh -c 'trap \"echo polite; exit\" TERM; echo up; while :; do sleep 0.05; done' & sleep 600\n"
    )
    wait_for_output(k, session, "up")
    log = (k.data / "logs" / f"{session}.log").open()
    with log:
        assert c.stop(session, grace=10)
        assert "polite" in log.read()


def test_many_processes_that_multiply_are_ended(k: KeeperProcess, c: Client) -> None:
    session = c.start(
        python("""
        import os, time
        for _ in range(3):
            os.fork()
            if os.fork() == 0:
                os.setsid()
        print("up", flush=True)
        time.sleep(600)
        """)
    )
    wait_until(lambda: k.output(session).count("up") == 64, message=lambda: k.output(session))
    assert c.stop(session, grace=1)
    assert not processes_of(session)
    wait_until(lambda: children_of(k.pid) == [])


@root_only
def test_a_directory_that_was_made_unreadable_is_removed(k: KeeperProcess, c: Client) -> None:
    session = c.start("mkdir -p a/b/c; touch a/b/c/d; chmod 000 a/b/c a/b a; ln -s /etc e; echo up\n", user="nobody")
    c.event(session)
    assert c.stop(session)
    assert k.traces() == [f"state/{session}.journal"]


def test_a_big_directory_holds_nobody_up(k: KeeperProcess, c: Client) -> None:
    script = python("""
        import os
        for number in range(200):
            os.mkdir(f"d{number}")
            for inner in range(100):
                open(f"d{number}/{inner}", "w").close()
    """)
    session = c.start(script)
    assert c.event(session)["exit_code"] == 0
    seq = c.send("stop", session=session, grace=1)
    assert c.call("hello", version=1)["version"] == protocol.VERSION
    assert c.answer(seq)["found"]
    assert k.traces() == [f"state/{session}.journal"]


@root_only
def test_what_cannot_be_removed_is_said_and_can_be_tried_again(k: KeeperProcess, c: Client) -> None:
    session = c.start("echo x > f\n")
    c.event(session)
    mounted = k.data / "work" / session / "mnt"
    mounted.mkdir()
    mount(mounted, "256k")
    try:
        with pytest.raises(KeeperRefusal, match=protocol.NOT_REMOVED):
            c.stop(session)
        assert c.state(session) == "removing"
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert c.stop(session)
    assert c.state(session) == "removed"
