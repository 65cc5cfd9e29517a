"""The output of containers followed by the same messages as that of scripts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pycloud.client import Client
from pycloud.client.logs import Ended, Output, Skipped
from tests.support.daemon import Daemon
from tests.support.engine import Engine
from tests.support.log_viewer import Viewer, numbers, read
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

DockerOn = Callable[..., Daemon]


def container(script: str, **options: object) -> str:
    return "box\n" + json.dumps({"command": ["sh", "-c", script], "stop_signal": "SIGKILL", **options})


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[Client]:
    with Client(own_redis.url) as client:
        yield client


def text(pieces: object) -> bytes:
    return b"".join(piece.data for piece in pieces if isinstance(piece, Output))  # type: ignore[attr-defined]


def test_from_its_start_to_its_end(engine: Engine, docker_on: DockerOn, client: Client) -> None:
    with docker_on(engine):
        for tty in (False, True):
            session = client.create(container("echo a; sleep 0.3; echo b >&2; sleep 0.3; printf c; exit 3", tty=tty)).id
            data, end = read(client.follow_logs(session, offset=0))
            assert data.replace(b"\r", b"") == b"a\nb\nc"
            assert (end.state, end.exit_code) == ("exited", 3)


@pytest.mark.parametrize("restart", ["redis", "daemon"])
def test_it_goes_on_at_its_place(
    engine: Engine, docker_on: DockerOn, client: Client, own_redis: RedisServer, restart: str
) -> None:
    counting = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; sleep 0.01; done"
    with docker_on(engine, heartbeat=0.2) as cloud, Viewer(own_redis.url) as viewer:
        pieces = viewer.follow(client.create(container(counting)).id)
        seen: list[bytes] = [b""]
        whole: list[bytes] = []

        def heard(data: bytes) -> None:
            seen[0] = data

        thread = threading.Thread(target=lambda: whole.append(read(pieces, heard)[0]))
        thread.start()
        wait_until(lambda: len(numbers(seen[0])) > 20)
        if restart == "redis":
            own_redis.restart()
        else:
            cloud.kill()
            cloud.start()
        thread.join(60)
        assert numbers(whole[0]) == [*range(1, 301)]


def test_where_it_begins(engine: Engine, docker_on: DockerOn, client: Client) -> None:
    with docker_on(engine) as cloud, Viewer(client_url(cloud)) as viewer:
        session = client.create(container("echo 1; echo 2; sleep 1.5; echo 3; exec sleep 1000")).id
        wait_until(lambda: client.logs(session).endswith(b"3\n"))
        assert client.logs(session, lines=2) == b"2\n3\n"
        assert client.logs(session, since=time.time() + 60) == b""
        assert client.logs(session, since=1.0) == b"1\n2\n3\n"
        late = [stamp.split()[0] for stamp in engine.docker("logs", "-t", f"pycloud_{session}").splitlines()]
        assert client.logs(session, since=seconds(late[2]) - 0.5) == b"3\n"
        pieces = viewer.follow(session, offset=None, lines=0)
        engine.docker("exec", f"pycloud_{session}", "sh", "-c", "echo 4 > /proc/1/fd/1")
        assert next(pieces) == Output(0, b"4\n")
        client.remove(session)
        assert isinstance([*pieces][-1], Ended)


def test_more_than_is_on_its_way_at_once(engine: Engine, docker_on: DockerOn, client: Client) -> None:
    program = 'BEGIN { for (i = 1; i <= 20000; i++) printf "%100d\\n", i; printf "%100000s", "x" }'
    with docker_on(engine):
        session = client.create(container(f"awk '{program}'")).id
        data, _ = read(client.follow_logs(session, offset=0))
        *lines, last = data.split(b"\n")
        assert lines == [b"%100d" % number for number in range(1, 20001)]
        assert last == b" " * 99999 + b"x"


def test_what_the_engine_threw_away_meanwhile_is_told(
    engine: Engine, docker_on: DockerOn, client: Client, own_redis: RedisServer
) -> None:
    program = 'BEGIN { for (i = 1; i <= 200000; i++) printf "%100d\\n", i }'
    with docker_on(engine, log_bytes=200_000), Viewer(own_redis.url) as viewer:
        session = client.create(container(f"awk '{program}'")).id
        pieces = viewer.follow(session, lease=60.0)
        first = next(pieces)
        assert client.wait(session, timeout=60).exit_code == 0
        rest = [*pieces]
        assert any(isinstance(piece, Skipped) and piece.size is None for piece in [first, *rest])
        assert text(rest).endswith(b"%100d\n" % 200000)
        assert isinstance(rest[-1], Ended)


def client_url(cloud: Daemon) -> str:
    return str(cloud.options["redis"])


def seconds(stamp: str) -> float:
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(f"0.{fraction}")
