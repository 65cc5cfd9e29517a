"""What the keeper tells of a session that it is asked about: its processes, and what they use."""

from __future__ import annotations

import getpass

import pytest

from tests.support.keeper import Client, KeeperProcess, KeeperRefusal, new_session, processes_of, wait_for_output
from tests.support.waiting import wait_until

#: Burns CPU in one process, sleeps in another, and has left its group and its parent with a third.
THREE = "(setsid sleep 600 &)\nsleep 600 &\necho up\nwhile :; do :; done\n"


def test_all_processes_of_a_session_count_and_no_others(k: KeeperProcess, c: Client) -> None:
    session, other = c.start(THREE), c.start("sleep 600 &\nexec sleep 600\n")
    wait_for_output(k, session, "up")
    wait_until(lambda: len(processes_of(session)) == 3)
    wait_until(lambda: c.call("inspect", session=session)["cpu"] > 0.05)
    about = c.call("inspect", session=session)
    assert about["processes"] == 3
    assert about["memory"] > 3 * 100_000
    assert about["user"] == getpass.getuser()
    assert about["command"] == ["/bin/sh", f"{about['directory']}/pycloud.init"]
    assert (about["pid"], about["adopted"]) == (c.list()[session]["pid"], False)
    assert (about["state"], about["keeper"]) == ("running", k.pid)
    wait_until(lambda: c.call("inspect", session=other)["processes"] == 2)
    assert c.call("inspect", session=other)["cpu"] < about["cpu"]


def test_what_children_used_that_are_gone_counts(k: KeeperProcess, c: Client) -> None:
    session = c.start("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'\necho over\nexec sleep 600\n")
    wait_for_output(k, session, "over")
    about = c.call("inspect", session=session)
    assert (about["processes"], about["command"]) == (1, ["sleep", "600"])
    assert about["cpu"] > 0


def test_an_adopted_session(k: KeeperProcess) -> None:
    with k.client() as c:
        session = c.start("sleep 600 & sleep 600\n")
        wait_until(lambda: len(processes_of(session)) == 3)
    k.kill()
    k.start()
    with k.client() as c:
        about = c.call("inspect", session=session)
        assert (about["adopted"], about["processes"]) == (True, 3)


def test_one_that_has_ended_and_one_that_never_was(c: Client) -> None:
    session = c.start("exit 3\n")
    c.event(session)
    about = c.call("inspect", session=session)
    assert about["state"] == "ended"
    assert "pid" not in about
    assert about["directory"].endswith(session)
    with pytest.raises(KeeperRefusal, match="not_found"):
        c.call("inspect", session=new_session())
