"""Whatever is thrown at the channels, other requests are answered meanwhile; an idle cloud costs next to nothing."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
import redis

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
CREATE = "year4000.pycloud.create"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]

FLOODS: dict[str, list[bytes]] = {
    "bad payloads": [b"\xff", b"[", b"[]", b'{"script": "x"}', b'{"id": "", "script": "x"}', b'{"id": 7}'] * 1667,
    "deeply nested": [b'{"id": "r", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"] * 50,
    "duplicate keys": [b'{"id": "r", ' + b'"session": "s", ' * 20_000 + b'"script": ""}'] * 50,
    "a crowd of values": [b'{"id": "r", "script": "", "n": [' + b"[]," * 2_000_000 + b"[]]}"] * 5,
    "8 MiB": [b'{"id": "big", "script": "' + b"x" * (8 << 20) + b'"}'] * 3,
    "8 MiB of nothing": [b"x" * (8 << 20)] * 3,
}


def latencies(requester: Requester, session: str, stop: Callable[[int], bool]) -> list[float]:
    """Seconds that each status took, one after the other, until ``stop`` (given how many there were) says so."""
    taken: list[float] = []
    while not stop(len(taken)):
        began = time.perf_counter()
        assert requester.status(session)["status"] is True
        taken.append(time.perf_counter() - began)
    return taken


@contextmanager
def flooding(server: RedisServer, payloads: list[bytes], channel: str = CREATE) -> Iterator[threading.Thread]:
    """Publish these from another connection, as fast as the server takes them."""

    def publish() -> None:
        with redis.Redis.from_url(server.url) as client, client.pipeline(transaction=False) as pipe:
            for start in range(0, len(payloads), 500):
                for payload in payloads[start : start + 500]:
                    pipe.publish(channel, payload)
                pipe.execute()

    thread = threading.Thread(target=publish)
    thread.start()
    yield thread
    thread.join()


def hearing(server: RedisServer, payloads: list[bytes]) -> float:
    """Seconds from the beginning of a flood until a subscriber has heard all of it that does nothing else."""
    with redis.Redis.from_url(server.url) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("elsewhere")
        pubsub.get_message(timeout=5)
        began = time.perf_counter()
        with flooding(server, payloads, "elsewhere"):
            for _ in payloads:
                assert pubsub.get_message(timeout=30)
        return time.perf_counter() - began


@pytest.mark.alone
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_slows_no_other_request(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, kind: str
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    session = requester.create(SLEEP)["id"]
    quiet = latencies(requester, session, lambda count: count >= 200)
    with flooding(shared_redis, FLOODS[kind]) as flood:
        meanwhile = latencies(requester, session, lambda count: not flood.is_alive() and count >= 20)
    heard = min(hearing(shared_redis, FLOODS[kind]) for _ in range(3))
    usual, then = statistics.median(quiet), statistics.median(meanwhile)
    milliseconds = [round(seconds * 1e3, 2) for seconds in (usual, then, max(meanwhile), heard)]
    said = "usually {}, then {}, at most {}; heard in {} (ms)".format(*milliseconds)
    print(f"{kind}: {said}")
    # The median of many: single ones wait for the machine. Without a fair reader they wait for the whole flood.
    assert then < 20 * usual + heard / 2, said
    # One that comes behind all of the flood waits until that was heard and looked over, and nothing is built of it.
    assert max(meanwhile) < 5 * heard, said
    assert daemon.log().count("dropped a request") <= 5
    assert "Traceback" not in daemon.log()
    assert requester.create(SLEEP)["state"] == "running"


def test_ten_thousand_bad_payloads_are_all_counted(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    payloads = FLOODS["bad payloads"]
    with flooding(own_redis, payloads):
        pass
    key = "{year4000.pycloud}:cloud:" + daemon.cloud
    wait_until(lambda: json.loads(requester.redis.get(key) or b"{}").get("dropped") == len(payloads), 30)


def test_a_burst_of_creates_and_removes(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    for number in range(300):
        for _ in range(2):
            requester.publish("create", {"id": f"burst{number}", "script": SLEEP})
    answers = [requester.answers("create", f"burst{number}", timeout=60) for number in range(300)]
    told = [json.loads(answer[0])["id"] for answer in answers]
    assert sorted(daemon.sessions()) == sorted(told)
    assert all(len(set(answer)) == 1 for answer in answers)
    for number, session in enumerate(told):
        requester.publish("remove", {"id": f"burst{number}", "session": session})
    for number in range(300):
        assert json.loads(requester.answers("remove", f"burst{number}", timeout=60)[0])["status"] is True
    assert daemon.sessions() == {}
    wait_until(lambda: list((daemon.data / "state").iterdir()) == [])
    for name in ("work", "logs"):
        assert list((daemon.data / name).iterdir()) == []
    assert "taking over" not in daemon.log()
    assert "Traceback" not in daemon.log()


@pytest.mark.alone
def test_an_idle_cloud_with_a_thousand_sessions(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    for number in range(1000):
        requester.publish("create", {"id": f"idle{number}", "script": SLEEP})
    for number in range(1000):
        assert requester.answers("create", f"idle{number}", timeout=60)
    shares = busy_shares({"daemon": psutil.Process(daemon.pid), "keeper": psutil.Process(daemon.keeper_pid)})
    print(", ".join(f"{name} {share:.3%} of a core" for name, share in shares.items()))
    assert shares["daemon"] < 0.01
    assert shares["keeper"] < 0.005
    daemon.options["on_stop"] = "remove"
    daemon.stop()
    daemon.start()
    daemon.stop()


def busy_shares(processes: dict[str, psutil.Process], seconds: float = 8.0) -> dict[str, float]:
    """The share of one core that each process uses over some time."""

    def used(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    began, before = time.monotonic(), {name: used(process) for name, process in processes.items()}
    wait_until(lambda: time.monotonic() - began > seconds, seconds * 2)
    return {name: (used(process) - before[name]) / (time.monotonic() - began) for name, process in processes.items()}
