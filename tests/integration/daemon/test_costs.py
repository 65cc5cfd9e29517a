"""What a request, a session and doing nothing cost, in counts that do not depend on the machine."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from pycloud.cluster.deferred_requests import DELAY_SECOND, POLL_INTERVAL
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Heartbeat, encode
from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

NAMES = Keys()
SLEEP = "exec sleep 1000"
#: A daemon that says how many greenlets it has, at a signal.
TELLING = """
import gc, signal, sys
from greenlet import greenlet
from pycloud import app

def tell(*_):
    living = [each for each in gc.get_objects() if isinstance(each, greenlet) and not each.dead]
    print(f"greenlets: {len(living)}", flush=True)

signal.signal(signal.SIGUSR2, tell)
sys.exit(app.main(sys.argv[1:]))
"""
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


class Overheard:
    """The commands that clouds send to a Redis, as its MONITOR tells them; not those within scripts, nor heartbeats."""

    def __init__(self, server: RedisServer, requester: Requester) -> None:
        self._client = requester.redis
        self._socket = socket.create_connection(("127.0.0.1", server.port), 10)
        self._socket.sendall(b"MONITOR\r\n")
        self._lines = self._socket.makefile("r")
        assert self._lines.readline() == "+OK\n"

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def during(self, work: Callable[[], object]) -> list[str]:
        """The first words of what was sent for ``work``."""
        self._client.echo("it begins")
        work()
        self._client.echo("it is over")
        self._until("it begins")
        sent = [line.partition("] ")[2].replace('"', "") for line in self._until("it is over") if " lua] " not in line]
        return [command.split()[0] for command in sent if not is_chatter(command)]

    def _until(self, words: str) -> list[str]:
        return list(iter(lambda: "" if words in (line := self._lines.readline()) else line, ""))


def is_chatter(command: str) -> bool:
    """Heartbeats, what rounds look at now and then, and what the requester says itself."""
    words = ("cloud:", " {year4000.pycloud}:clouds ", "year4000.pycloud.rank", ":claims", ":wishes:")
    own = tuple(f"PUBLISH year4000.pycloud.{op} " for op in ("create", "status", "remove"))
    return command.startswith(own) or (not command.startswith("EVALSHA") and any(word in command for word in words))


@pytest.fixture
def cloud(own_redis: RedisServer, daemon_on: DaemonOn) -> Daemon:
    return daemon_on(own_redis).start()


@pytest.fixture
def overheard(cloud: Daemon, own_redis: RedisServer, requester_on: RequesterOn) -> Iterator[Overheard]:
    requester = requester_on(own_redis)
    requester.remove(requester.create(SLEEP)["id"])  # the server knows all scripts
    made = Overheard(own_redis, requester)
    yield made
    made.close()


def test_what_each_request_sends_to_redis(
    overheard: Overheard, own_redis: RedisServer, requester_on: RequesterOn
) -> None:
    requester, session = requester_on(own_redis), list[str]()
    # It is claimed; its start is told; it is answered, recorded and told at once. Only the scripts are waited for.
    create = overheard.during(lambda: session.append(requester.create(SLEEP)["id"]))
    assert sorted(create) == ["EVALSHA", "EVALSHA", "PUBLISH", "XADD"]
    # From memory: nothing is read, and nothing waited for.
    assert overheard.during(lambda: requester.status(session[0])) == ["PUBLISH"]
    # As the create, with the end of its first process to tell; its record goes with the answer.
    remove = overheard.during(lambda: requester.remove(session[0]))
    assert sorted(remove) == ["EVALSHA", "EVALSHA", "PUBLISH", "XADD"]


def test_creates_that_another_cloud_takes_are_looked_at_together(
    overheard: Overheard, cloud: Daemon, own_redis: RedisServer
) -> None:
    client, portions, began = redis.Redis(port=own_redis.port), 10, time.monotonic()
    taker = Heartbeat("f" * 10, -1e6, time.time(), 0, "i", "2", "h", "script", 60.0, ("script",))

    def hear() -> None:
        client.publish(NAMES.heartbeat_channel, encode(taker))
        for portion in range(portions):
            with client.pipeline(transaction=False) as pipeline:
                for request in (f"r{portion}-{number}" for number in range(20)):
                    pipeline.hset(NAMES.request_key("create", request), "token", "t")
                    pipeline.publish(NAMES.request_channel("create"), f'{{"id": "{request}", "script": "exit"}}')
                pipeline.execute()
            until = time.monotonic() + 0.06
            wait_until(lambda until=until: time.monotonic() > until)  # type: ignore[misc]
        until = time.monotonic() + 2 * (DELAY_SECOND + POLL_INTERVAL)
        wait_until(lambda: time.monotonic() > until)

    looks, seconds = overheard.during(hear).count("EVALSHA"), time.monotonic() - began
    print(f"{looks} looks at {portions} portions in {seconds:.2f} s")
    # Each serves several portions. Once a second the cloud looks for claims that nobody renews, too.
    assert 1 <= looks <= seconds / POLL_INTERVAL + seconds + 1
    assert not cloud.sessions()


def test_a_session_costs_one_greenlet(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    program = tmp_path / "telling.py"
    program.write_text(TELLING)
    daemon, requester = daemon_on(own_redis), requester_on(own_redis)
    launch = daemon.command
    daemon.__class__ = type("Telling", (Daemon,), {"command": [sys.executable, str(program), *launch[2:]]})
    daemon.start()

    def greenlets() -> int:
        told = daemon.log().count("greenlets: ")
        daemon.send(signal.SIGUSR2)
        wait_until(lambda: daemon.log().count("greenlets: ") > told)
        return int(daemon.log().rpartition("greenlets: ")[2].split()[0])

    sessions = [requester.create(SLEEP)["id"] for _ in range(5)]
    few = greenlets()
    sessions += [requester.create(SLEEP)["id"] for _ in range(20)]
    wait_until(lambda: greenlets() == few + 20, message=lambda: f"{few}, then {greenlets()}")
    for session in sessions:
        requester.remove(session)
    wait_until(lambda: greenlets() <= few - 5, message=lambda: f"{few}, and without sessions {greenlets()}")


def test_doing_nothing_wakes_nobody(cloud: Daemon, own_redis: RedisServer, requester_on: RequesterOn) -> None:
    requester, seconds = requester_on(own_redis), 4
    requester.create(SLEEP)
    few = wakes(cloud.pid, seconds)
    for _ in range(50):
        requester.create(SLEEP)
    many, keeper = wakes(cloud.pid, seconds), wakes(cloud.keeper_pid, seconds)
    print(f"wakes in {seconds} s: {few} with one session, {many} with 51; the keeper {keeper}")
    assert few <= 8 * seconds, "a few for each heartbeat: what is looked at now and then is looked at along with it"
    assert many <= 8 * seconds, "sessions that go on cost nothing"
    assert keeper <= 1


def wakes(pid: int, seconds: float) -> int:
    """How often a process began to wait within some time."""
    began, before = time.monotonic(), waits(pid)
    wait_until(lambda: time.monotonic() - began >= seconds, seconds * 2)
    return waits(pid) - before


def waits(pid: int) -> int:
    """How often the threads of a process have waited so far."""
    statuses = [path.read_text() for path in Path("/proc", str(pid), "task").glob("*/status")]
    return sum(int(status.rpartition("\nvoluntary_ctxt_switches:")[2].split()[0]) for status in statuses)
