"""How the keeper starts a session, what the session sees, and what a failure leaves: nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from pycloud.keeper.ipc import protocol
from tests.support.keeper import (
    CLOUD,
    Client,
    KeeperProcess,
    KeeperRefusal,
    children_of,
    keeper,
    new_session,
    processes_of,
    python,
)
from tests.support.ports import free_port
from tests.support.waiting import wait_until

root_only = pytest.mark.usefixtures("root")

#: Signals 32 and 33, as bits of a mask.
RESERVED = 1 << 31 | 1 << 32


def ignored_here() -> int:
    """The signals that this process ignores, as a mask."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn"))


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("exit 0\n", 0, None),
        ("#!/bin/sh\nexit 3\n", 3, None),
        ("kill -9 $$\n", 137, "killed by signal 9 (SIGKILL)"),
        ("kill -TERM $$\n", 143, "killed by signal 15 (SIGTERM)"),
    ],
)
def test_how_a_session_ended(c: Client, script: str, code: int, reason: str | None) -> None:
    session = c.start(script)
    event = c.event(session)
    assert (event["exit_code"], event["reason"]) == (code, reason)
    entry = c.list()[session]
    assert (entry["state"], entry["exit_code"], entry["reason"]) == ("ended", code, reason)
    assert entry["started"] <= entry["ended"] == event["ended"]


def test_what_a_script_sees(k: KeeperProcess, c: Client) -> None:
    script = python("""
        import json, os, resource, signal, sys
        fds = {}
        for fd in os.listdir("/proc/self/fd"):
            try:
                fds[int(fd)] = os.readlink("/proc/self/fd/" + fd)
            except FileNotFoundError:
                pass  # the listing's own
        blocked = [line.split()[1] for line in open("/proc/self/status") if line[:6] in ("SigBlk", "SigIgn")]
        print(json.dumps({
            "cwd": os.getcwd(), "env": dict(os.environ), "fds": fds, "stdin": sys.stdin.read(), "argv": sys.argv,
            "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "info": json.load(open("pycloud.json")),
            "leads": os.getpid() == os.getsid(0) == os.getpgid(0), "blocked": int(blocked[0], 16),
            "ignored": int(blocked[1], 16),
        }), flush=True)
        print("also here", file=sys.stderr)
    """)
    seq, session = c.send_start(script, env={"EXTRA": "ü"}, sessions=7)
    answer = c.answer(seq)
    assert c.event(session)["exit_code"] == 0
    first, second = k.output(session).splitlines()
    seen, port = json.loads(first), answer["port"]
    assert second == "also here"
    work = str(k.data / "work" / session)
    assert seen["cwd"] == work
    assert seen["argv"] == [work + "/pycloud.init"]
    seen["env"].pop("LC_CTYPE", None)  # Python itself may have set it
    assert seen["env"] == {
        "PATH": os.environ["PATH"],
        "PYCLOUD_SESSION": session,
        "PYCLOUD_CLOUD": CLOUD,
        "PYCLOUD_PORT": str(port),
        "EXTRA": "ü",
    }
    log = str(k.data / "logs" / f"{session}.log")
    fds = {int(fd): path for fd, path in seen["fds"].items()}
    assert [fds.pop(number) for number in (0, 1, 2)] == ["/dev/null", log, log]
    assert list(fds.values()) == [str(k.data / "ports" / str(port))]
    assert seen["stdin"] == ""
    assert seen["leads"]
    assert seen["nofile"] == 1024
    assert seen["blocked"] == 0
    # Python itself ignores SIGPIPE and SIGXFSZ; the keeper's own habits must not be inherited. What the C library keeps
    # for itself cannot be set by Python: whoever started the tests (make does) may have left it ignored.
    assert seen["ignored"] & ~(1 << 12 | 1 << 24 | RESERVED & ignored_here()) == 0
    info = {"hostname": "host.test", "port": port, "sessions": 7, "session": session, "cloud": CLOUD}
    assert seen["info"] == info


def test_the_soft_limit_is_the_one_asked_for(tmp_path: Path) -> None:
    with keeper(tmp_path / "data", nofile=333) as k, k.client() as c:
        session = c.start("ulimit -n\n")
        c.event(session)
        assert k.output(session) == "333\n"


def test_a_script_without_interpreter_is_for_sh(k: KeeperProcess, c: Client) -> None:
    session = c.start('echo "$0"\n')
    c.event(session)
    assert k.output(session).endswith("/pycloud.init\n")


def test_directories_are_private(k: KeeperProcess, c: Client) -> None:
    session = c.start("sleep 600\n")
    modes = {p: stat.S_IMODE((k.data / p).stat().st_mode) for p in ("work", "state", "logs", f"work/{session}")}
    assert modes == {"work": 0o711, "state": 0o700, "logs": 0o700, f"work/{session}": 0o700}
    assert stat.S_IMODE((k.data / "state" / f"{session}.journal").stat().st_mode) == 0o600
    assert stat.S_IMODE(k.socket.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "#!/bin/nope\n",
            "cannot start /bin/nope (named in the script's first line): No such file or directory",
        ),
        ("#!/etc/passwd\n", "Permission denied"),
        ("#!/bin\n", "Permission denied"),
        ("#!/bin/sh\r\n", "CRLF"),
        ("#!sh\n", "/usr/bin/env sh"),
        ("#!/bin/\0sh\n", "null byte"),
        ("echo \ud800\n", "surrogates not allowed"),
    ],
)
def test_a_script_that_cannot_start_leaves_nothing(k: KeeperProcess, c: Client, script: str, words: str) -> None:
    with pytest.raises(KeeperRefusal) as refusal:
        c.start(script)
    assert refusal.value.code == protocol.START_FAILED
    assert words in refusal.value.message
    assert k.traces() == []
    assert c.list() == {}
    assert children_of(k.pid) == []


@pytest.mark.parametrize("changes", [{"user": "no-such-user"}, {"env": {"A\0": "x"}}, {"env": {"A=B": "x"}}])
def test_a_start_with_impossible_wishes_leaves_nothing(k: KeeperProcess, c: Client, changes: dict[str, object]) -> None:
    with pytest.raises(KeeperRefusal, match=protocol.START_FAILED):
        c.start("true\n", **changes)
    assert k.traces() == []


def test_the_same_start_again_is_the_same_session(c: Client) -> None:
    session = new_session()
    answers = [c.answer(c.send_start("sleep 600\n", session=session)[0]) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert len(processes_of(session)) == 1 or wait_until(lambda: len(processes_of(session)) == 2)


def test_a_failed_start_can_be_repeated(c: Client) -> None:
    session = new_session()
    seqs = [c.send_start("#!/nope\n", session=session)[0] for _ in range(3)]
    for seq in seqs:
        with pytest.raises(KeeperRefusal, match=protocol.START_FAILED):
            c.answer(seq)
    assert c.start("sleep 600\n", session=session) == session


def test_ports_come_from_the_range_and_are_held(c: Client) -> None:
    low = free_port()
    seen = set()
    for _ in range(2):
        answer = c.answer(c.send_start("sleep 600\n", port_range=[low, low + 9])[0])
        seen.add(answer["port"])
    assert len(seen) == 2
    assert all(low <= port <= low + 9 for port in seen)
    taken = seen.pop()
    with pytest.raises(KeeperRefusal, match=f"none of the ports {taken} to {taken} is free"):
        c.start("true\n", port_range=[taken, taken])


def test_two_keepers_on_a_host_share_no_port(k: KeeperProcess, c: Client, tmp_path: Path) -> None:
    port = free_port()
    session = c.start("sleep 600\n", port_range=[port, port])
    with keeper(tmp_path / "other", ports_dir=k.data / "ports") as other, other.client() as d:
        with pytest.raises(KeeperRefusal, match="is free"):
            d.start("true\n", port_range=[port, port])
        assert c.stop(session)
        d.start("true\n", port_range=[port, port])


@root_only
def test_another_user_cannot_write_what_we_trust(k: KeeperProcess, c: Client) -> None:
    session = c.start(
        """
        id -u; echo mine > ok && cat ok
        for f in ../x ../../state/x ../../state/$PYCLOUD_SESSION.journal ../../logs/x ../../x; do
            (echo x >> $f) 2>/dev/null && echo wrote $f
        done
        ls ../../state ../../logs ../../work 2>/dev/null
        cat pycloud.json > /dev/null && echo read
        """,
        user="nobody",
    )
    assert c.event(session)["exit_code"] == 0
    assert k.output(session).split() == ["65534", "mine", "read"]
    work = k.data / "work" / session
    assert {path.stat().st_uid for path in (work, *work.iterdir())} == {65534}
    assert c.stop(session)


@root_only
def test_another_user_has_only_his_groups(k: KeeperProcess, c: Client) -> None:
    session = c.start("id -G\n", user="nobody")
    c.event(session)
    assert k.output(session).split() == subprocess.check_output(["id", "-G", "nobody"], text=True).split()
