"""``pycloudctl logs -f``: the real program, the real daemon, and a Redis that is restarted meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pycloud.client import Client
from pycloud.shell.terminal.output import format_size
from tests.support.daemon import Daemon
from tests.support.log_viewer import counting, numbers
from tests.support.pycloudctl import PYCLOUDCTL, ROOT, TIMEOUT
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


@dataclass
class Place:
    """A cloud, its Redis, and how pycloudctl is run there."""

    redis: RedisServer
    daemon: Daemon
    client: Client
    environ: dict[str, str]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen([*PYCLOUDCTL, *words], stdout=pipe, stderr=pipe, env=self.environ)

    def run(self, *words: str) -> tuple[int, bytes, str]:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=TIMEOUT)
        return process.returncode, out, err.decode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("home")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYCLOUD_", "XDG_"))}
    with (
        RedisServer() as server,
        Daemon(home / "cloud", server.url, log_bytes=1 << 20, heartbeat=0.2) as daemon,
        Client(server.url) as client,
    ):
        own = {"PYCLOUD_REDIS_URL": server.url, "PYTHONPATH": str(ROOT), "HOME": str(home), "TERM": "xterm"}
        yield Place(server, daemon, client, inherited | own)


def test_following_to_the_end(place: Place) -> None:
    session = place.client.create("printf 'a\\377\\r\\n'; sleep 0.3; echo b; exit 3").id
    assert place.run("logs", "-f", session[:12]) == (0, b"a\xff\r\nb\n", "")


def test_where_it_begins(place: Place) -> None:
    session = place.client.create("seq 1 5").id
    place.client.wait(session, timeout=TIMEOUT)
    assert place.run("logs", "-n", "2", session) == (0, b"4\n5\n", "")
    assert place.run("logs", "-n", "0", "-f", session) == (0, b"", "")
    assert place.run("logs", "-n", "all", session) == (0, b"1\n2\n3\n4\n5\n", "")
    code, out, err = place.run("logs", "--since", "1h", session)
    assert (code, out) == (4, b"")
    assert "carries no times; ask for `lines`" in err
    assert place.run("logs", "-f", "0" * 10 + place.daemon.cloud)[0] == 3
    assert place.run("logs", "-n", "x", session)[0] == 2


def test_for_programs_each_piece_is_a_line(place: Place) -> None:
    session = place.client.create("echo a; exit 3").id
    code, out, _ = place.run("logs", "-f", "-n", "all", "-o", "json", session)
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"kind": "output", "offset": 0, "data": "a\n", "encoding": "utf-8"},
        {"kind": "end", "offset": 2, "state": "exited", "exit_code": 3},
    ]


def test_ctrl_c_stops_the_following_and_never_the_session(place: Place) -> None:
    session = place.client.create("echo a; exec sleep 1000").id
    with place.start("logs", "-f", session) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert b"Stopped following; the session keeps running." in err
    assert place.client.status(session).status


def test_create_goes_on_into_the_output(place: Place, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo a; sleep 0.3; echo b; exit 3")
    code, out, err = place.run("create", str(script), "--follow")
    assert (code, out) == (0, b"a\nb\n")
    assert " runs on host.test:" in err
    _, out, _ = place.run("create", str(script), "--follow", "-o", "json")
    created, *pieces = map(json.loads, out.splitlines())
    assert (created["state"], pieces[0]["offset"], pieces[-1]["exit_code"]) == ("running", 0, 3)
    script.write_text("echo a; exec sleep 1000")
    with place.start("create", str(script), "--follow", "--name", "followed") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert place.client.status(str(place.client.session_named("followed"))).status
    assert place.run("create", str(script), "--follow", "--count", "2")[0] == 2


def test_a_reader_that_goes_away_ends_it(place: Place) -> None:
    session = place.client.create("exec yes").id
    with place.start("logs", "-f", session) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, b"Traceback" in err) == (141, False)
    place.client.remove(session)


def test_what_is_skipped_is_said(place: Place) -> None:
    session = place.client.create("yes | head -c 4000000; exec sleep 1000").id
    log = place.daemon.data / "logs" / f"{session}.log"
    wait_until(lambda: log.stat().st_size == 4_000_000 and log.stat().st_blocks * 512 < (1 << 20) + 2**16, TIMEOUT)
    code, out, err = place.run("logs", "-n", "all", session)
    assert code == 0
    assert 1 << 20 <= len(out) < 2 << 20
    assert err == f"[{format_size(4_000_000 - len(out))} skipped]\n"


@pytest.mark.parametrize("what", ["redis", "daemon"])
def test_following_survives_a_restart(place: Place, tmp_path: Path, what: str) -> None:
    session = place.client.create(counting(tmp_path / "stop", 100)).id
    with place.start("logs", "-f", "-n", "all", session) as process:
        assert process.stdout is not None
        head = b"".join(process.stdout.readline() for _ in range(20))
        if what == "redis":
            place.redis.restart(keep_data=False)
        else:
            place.daemon.kill()
            place.daemon.start()
        (tmp_path / "stop").touch()
        rest = process.stdout.read()
        _, err = process.communicate(timeout=TIMEOUT)
    counted = numbers(head + rest)
    assert counted == [*range(1, len(counted) + 1)]
    assert process.returncode == 0
    assert err.count(b"Retrying: ") == err.count(b"Following the log again.") <= 1
    assert what == "daemon" or b"Following the log again." in err
