"""What a long night brings: many reconnects, a Redis that refuses, one that comes back empty under load."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import redis

from tests.support.daemon import Daemon
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, binaries
from tests.support.requester import Requester
from tests.support.requirements import missing, program
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
LOST, BACK = "Redis is lost", "Redis is back"
CHANNEL = "year4000.pycloud.create"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def subscribed(client: redis.Redis) -> bool:
    """Whether anybody listens for creates."""
    return bool(dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()])


def test_more_reconnects_than_a_pool_has_connections(own_redis: RedisServer, daemon_on: DaemonOn) -> None:
    daemon = daemon_on(own_redis).start()
    with redis.Redis.from_url(own_redis.url) as client:
        for _ in range(105):
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            wait_until(lambda: subscribed(client), 20, daemon.log)


def test_creates_repeated_at_once_to_a_redis_that_came_back_empty(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    requests = [{"id": f"r{number}", "script": SLEEP} for number in range(200)]
    for request in requests:
        requester.publish("create", request)
    told = sorted(json.loads(requester.answers("create", r["id"], timeout=60)[0])["id"] for r in requests)
    own_redis.kill()
    own_redis.start(keep_data=False)
    with redis.Redis.from_url(own_redis.url) as client:
        wait_until(lambda: subscribed(client), 30)
        requester = requester_on(own_redis)
        for request in requests:
            requester.publish("create", request)
    again = sorted(json.loads(requester.answers("create", r["id"], timeout=60)[0])["id"] for r in requests)
    assert again == told
    assert sorted(daemon.sessions()) == told, "no twins"


def test_a_remove_whose_answer_redis_forgot(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    assert requester.remove(session, id="once")["status"] is True
    own_redis.kill()
    own_redis.start(keep_data=False)
    requester = requester_on(own_redis)

    def ask() -> list[bytes]:
        requester.publish("remove", {"session": session, "id": "once"})
        return requester.answers("remove", "once", 1, 0.5)

    assert json.loads(wait_until(ask, 30)[0])["status"] is True, daemon.log()


def test_a_redis_that_is_full_for_a_while(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 1)
        requester.publish("create", {"id": "while full", "script": SLEEP})
        wait_until(lambda: LOST in daemon.log(), 20)
        assert requester.status(session)["status"] is True, "what needs no memory is answered all the same"
        client.config_set("maxmemory", 0)
    assert len(requester.answers("create", "while full", timeout=30)) == 1
    wait_until(lambda: BACK in daemon.log(), 20)
    assert (daemon.log().count(LOST), daemon.log().count(BACK)) == (1, 1)
    assert len(daemon.sessions()) == 2


def test_scripts_that_are_flushed(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    with redis.Redis.from_url(own_redis.url) as client:
        for number in range(20):
            requester.publish("create", {"id": f"r{number}", "script": SLEEP})
            client.script_flush()
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            requester = requester_on(own_redis)
            wait_until(lambda: subscribed(client), 20)
    for number in range(20):

        def ask(number: int = number) -> list[bytes]:
            requester.publish("create", {"id": f"r{number}", "script": SLEEP})
            return requester.answers("create", f"r{number}", 1, 1)

        assert wait_until(ask, 30)
    wait_until(lambda: len(daemon.sessions()) == 20, 20)
    assert daemon.running
    assert "Traceback" not in daemon.log()


def test_rights_that_are_taken_away_for_a_while(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    with redis.Redis.from_url(own_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "-smembers", "-evalsha")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(
            lambda: "cannot write the sessions of this node to Redis" in daemon.log() or "will retry: " in daemon.log(),
            20,
            daemon.log,
        )
        client.execute_command("ACL", "SETUSER", "default", "+@all")
    requester = requester_on(own_redis)

    def ask() -> list[bytes]:
        requester.publish("create", {"id": "after", "script": SLEEP})
        return requester.answers("create", "after", 1, 1)

    wait_until(ask, 30, daemon.log)
    assert daemon.running


def test_sessions_are_removed_at_a_stop_though_redis_is_away(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    options = {"on_stop": "remove", "stop_grace": 1}
    daemon, requester = daemon_on(own_redis, **options).start(), requester_on(own_redis)
    requester.create(SLEEP)
    own_redis.stop()
    wait_until(lambda: LOST in daemon.log(), 20)
    assert daemon.stop() == 0
    assert daemon.sessions() == {}


def test_an_outage_is_told_once(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon = daemon_on(own_redis, heartbeat=0.3).start()
    own_redis.freeze()
    wait_until(lambda: LOST in daemon.log(), 30)
    own_redis.thaw()
    wait_until(lambda: BACK in daemon.log(), 30)
    key = "{year4000.pycloud}:cloud:" + daemon.cloud
    with redis.Redis.from_url(own_redis.url) as client:

        def sent() -> float:
            return float(json.loads(client.get(key) or b'{"sent": 0}')["sent"])

        first = wait_until(sent, 20)
        wait_until(lambda: sent() > first + 10 * 0.3, 20, "ten heartbeats later")
    assert (daemon.log().count(LOST), daemon.log().count(BACK)) == (1, 1)


def test_an_answered_session_whose_daemon_was_away_for_long(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis), requester_on(own_redis)
    daemon.env["PYCLOUD_FAULT"] = "create.committed"
    daemon.start()
    requester.publish("create", {"id": "r", "script": SLEEP})
    assert daemon.process is not None
    daemon.process.wait(20)
    session = json.loads(requester.answers("create", "r")[0])["id"]
    journal = daemon.data / "state" / f"{session}.journal"
    created = json.loads(journal.read_text().splitlines()[0])["record"]["created"]
    daemon.kill_keeper()
    journal.write_text(journal.read_text().replace(str(created), str(created - 700)))
    requester.redis.delete("{year4000.pycloud}:request:create:r")
    del daemon.env["PYCLOUD_FAULT"]
    daemon.start()
    assert requester.status(session)["status"] is True, "its requester was told of it"


def test_one_id_for_two_statuses(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon_on(own_redis).start()
    requester = requester_on(own_redis)
    first, second = "a" * 20, "b" * 20
    assert requester.status(first, id="one")["id"] == first
    requester.publish("status", {"id": "one", "session": second})
    answer = json.loads(requester.answers("status", "one", 2)[1])
    assert answer["id"] == second
    assert answer["error"]["code"] == "id_conflict"
    requester.publish("status", {"id": "two"})
    assert json.loads(requester.answers("status", "two")[0])["error"]["code"] == "bad_request"
    requester.publish("status", {"id": "two", "session": second})
    assert len(requester.answers("status", "two", 2)) == 2, "who corrects a request hears something"


def test_over_tls_as_a_user_with_few_rights(tmp_path: Path, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    """What is sent and heard there goes past redis-py, straight to its socket."""
    certificate, key, port = tmp_path / "certificate.pem", tmp_path / "key.pem", free_port()
    signed = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    places = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([program("openssl"), "req", "-x509", *signed, *places], check=True, capture_output=True)
    tls = {"port": port, "cert-file": certificate, "key-file": key, "ca-cert-file": certificate, "auth-clients": "no"}
    binary = binaries().get("redis-server") or missing("no redis-server, with TLS, on this machine")
    user = ("cloud", "on", ">s3cret@%", "~{year4000.pycloud}:*", "&year4000.pycloud.*", "+@all", "-@dangerous", "+info")
    options = [str(word) for name in tls for word in (f"--tls-{name}", tls[name])]
    with RedisServer(binary, options=options) as server, redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", *user)
        url = f"rediss://cloud:s3cret%40%25@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        daemon, requester = daemon_on(server, redis=url).start(), requester_on(server)
        session = requester.create(SLEEP + "\n#" + "x" * 500_000)["id"]
        for number, kind in enumerate(("pubsub", "normal")):
            client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            wait_until(lambda n=number: daemon.log().count(BACK) > n, 20, daemon.log)  # type: ignore[misc]
            wait_until(lambda: subscribed(client), 20, daemon.log)
            requester = requester_on(server)
            assert requester.status(session)["status"] is True
        assert requester.remove(session)["status"] is True
