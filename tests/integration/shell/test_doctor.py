"""``pycloudctl doctor`` on real servers and real clouds."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections.abc import Callable

import pytest
import redis

from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Heartbeat, encode
from tests.support.daemon import Daemon
from tests.support.fake_node import FakeCloud, silent
from tests.support.ports import free_port
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

DaemonOn = Callable[..., Daemon]


def problems(shell: Shell) -> list[dict[str, str]]:
    """What a run says is wrong."""
    result = shell.run("doctor", "-o", "json")
    assert (result.code, result.err) == (1, "")
    return [row for row in map(json.loads, result.lines) if row["level"] == "problem"]


@pytest.fixture
def patient(own_redis: RedisServer, shell: Shell) -> Shell:
    """A shell whose Redis is its own."""
    shell.env.update(PYCLOUD_REDIS_URL=own_redis.url, PYCLOUD_NAMESPACE="")
    return shell


def test_all_is_well(own_redis: RedisServer, patient: Shell, daemon_on: DaemonOn) -> None:
    daemon_on(own_redis).start()
    result = patient.run("doctor")

    assert (result.code, result.err) == (0, "")
    assert {line.split()[0] for line in result.lines} == {"ok"}
    for said in ("the round trip takes", "1 of 1 known nodes online", "has all permissions"):
        assert said in result.out.decode()


def test_no_cloud(patient: Shell) -> None:
    result = patient.run("doctor")

    assert result.code == 1
    assert "no node is online" in result.out.decode()
    assert "to do: start pycloud" in result.out.decode()


def test_no_redis(shell: Shell) -> None:
    result = shell.run("doctor", "--redis", f"redis://:sesame@127.0.0.1:{free_port()}", "-o", "json")

    assert result.code == 1
    rows = [json.loads(line) for line in result.lines]
    assert [row["level"] for row in rows] == ["ok", "note", "problem"]
    assert "cannot be reached" in rows[-1]["text"]
    assert all(row["advice"] for row in rows[1:])
    assert b"sesame" not in result.out


def test_a_cloud_that_is_gone(own_redis: RedisServer, patient: Shell, daemon_on: DaemonOn) -> None:
    daemon = daemon_on(own_redis).start()
    assert patient.run("create", "-", stdin=b"exec sleep 1000").code == 0
    node = daemon.cloud
    daemon_on(own_redis).start()
    daemon.kill()
    with redis.Redis.from_url(own_redis.url) as server:
        wait_until(lambda: not server.exists(Keys().node_key(node)), 30)
    wrong = problems(patient)

    assert [row["about"] for row in wrong] == [node]
    assert "(on host.test); sessions on record: 1" in wrong[0]["text"]


def test_two_daemons_of_one_id(own_redis: RedisServer, patient: Shell) -> None:
    with FakeCloud(own_redis.url, silent) as node:
        over = threading.Event()

        def send_heartbeats() -> None:
            for number in itertools.count():
                heartbeat = Heartbeat(
                    node.cloud, 0.5, time.time() + 60, 0, f"i{number % 2}", "2.0.0", "here", "script", 1.0
                )
                node.redis.publish(node.names.heartbeat_channel, encode(heartbeat))
                if over.wait(0.2):
                    return

        sender = threading.Thread(target=send_heartbeats)
        sender.start()
        wrong = problems(patient)
        over.set()
        sender.join()

    assert [row["about"] for row in wrong] == [node.cloud] * 2
    assert "two daemons use this id" in wrong[0]["text"]
    assert "pycloud --new-id" in wrong[0]["advice"]
    assert "ahead of that of Redis" in wrong[1]["text"]


def test_ctrl_c(own_redis: RedisServer, patient: Shell) -> None:
    with FakeCloud(own_redis.url, silent), patient.start("doctor") as process:
        wait_until(lambda: redis.Redis.from_url(own_redis.url).pubsub_numsub(Keys().heartbeat_channel)[0][1], 20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, err) == (130, b"pycloudctl: Interrupted.\n")
