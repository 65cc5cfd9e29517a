"""Output followed while Redis or the daemon is restarted, and while a session writes faster than anybody reads."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from pycloud.client import Client, PyCloudError
from pycloud.client.logs import Ended, LogItem, Output, Skipped
from tests.support.daemon import Daemon
from tests.support.log_viewer import Viewer, counting, numbers, read
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

#: More than the keeper keeps here, and than can be on its way.
MUCH = 4 << 20


@pytest.fixture
def daemon(own_redis: RedisServer, daemon_on: Callable[..., Daemon]) -> Daemon:
    """A cloud that keeps little of what sessions write."""
    return daemon_on(own_redis, log_bytes=1 << 20, heartbeat=0.2).start()


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[Client]:
    with Client(own_redis.url) as client:
        yield client


@pytest.fixture
def viewer(own_redis: RedisServer) -> Iterator[Viewer]:
    with Viewer(own_redis.url) as viewer:
        yield viewer


def restart_redis(server: RedisServer, _daemon: Daemon) -> None:
    server.restart()


def lose_redis(server: RedisServer, _daemon: Daemon) -> None:
    server.restart(keep_data=False)


def restart_daemon(_server: RedisServer, daemon: Daemon) -> None:
    daemon.stop()
    daemon.start()


def kill_daemon(_server: RedisServer, daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()


@pytest.mark.parametrize("trouble", [restart_redis, lose_redis, restart_daemon, kill_daemon])
def test_nothing_is_missing_and_nothing_comes_twice(
    own_redis: RedisServer,
    daemon: Daemon,
    client: Client,
    viewer: Viewer,
    tmp_path: Path,
    trouble: Callable[[RedisServer, Daemon], None],
) -> None:
    """It goes on at its offset, whatever was restarted in the middle of it."""
    losses: list[object] = []
    pieces = viewer.follow(client.create(counting(tmp_path / "stop", 100)).id, losses.append)
    seen: list[bytes] = []
    ends: list[Ended] = []

    def heard(data: bytes) -> None:
        seen[:] = [data]

    thread = threading.Thread(target=lambda: ends.append(read(pieces, heard)[1]))
    thread.start()
    wait_until(lambda: seen and len(numbers(seen[0])) > 20)
    trouble(own_redis, daemon)
    before = len(seen[0])
    wait_until(lambda: len(seen[0]) > before + 100, 30)
    (tmp_path / "stop").touch()
    thread.join(30)

    counted = numbers(seen[0])
    assert counted == [*range(1, len(counted) + 1)]
    assert ends == [Ended(len(seen[0]), "exited", 3)]
    assert losses[1::2] == [None] * (len(losses) // 2)
    assert len(losses) in (0, 2)


def test_a_slow_viewer_misses_output_and_is_told_and_nobody_else_notices(
    own_redis: RedisServer,
    daemon: Daemon,
    client: Client,
    viewer: Viewer,
    tmp_path: Path,
) -> None:
    """A session at full speed fills no Redis; others are followed and answered all the same."""
    torrent = client.create("exec yes").id
    slow = viewer.follow(torrent, lease=60.0)
    pieces = [next(slow)]
    log = daemon.data / "logs" / f"{torrent}.log"
    (tmp_path / "stop").touch()
    counted, _ = read(viewer.follow(client.create(counting(tmp_path / "stop", 200)).id))
    assert numbers(counted) == [*range(1, 201)]
    for _ in range(50):
        assert client.status(torrent).status
    wait_until(lambda: log.stat().st_size > 2 * MUCH, 60)
    with redis.Redis.from_url(own_redis.url, protocol=2) as server:
        assert max(int(each["omem"]) for each in server.client_list()) < 1 << 20
        assert server.info()["used_memory_peak"] < 8 << 20

    at = skipped = 0
    for piece in itertools.chain(pieces, slow):
        assert not isinstance(piece, Ended)
        assert piece.offset == at
        if isinstance(piece, Skipped):
            assert piece.size is not None
            at, skipped = at + piece.size, skipped + piece.size
        else:
            assert piece.data == (b"y\n" * len(piece.data))[at % 2 :][: len(piece.data)]
            at += len(piece.data)
        if skipped and at > MUCH:
            break
    assert client.remove(torrent).status


def test_a_cloud_that_stops_says_so(own_redis: RedisServer, daemon: Daemon, client: Client, viewer: Viewer) -> None:
    """Nobody waits for the end of a lease: the viewer looks for its cloud at once, and goes on when it is back."""
    losses: queue.Queue[object] = queue.Queue()
    session = client.create("echo a; exec sleep 1000").id
    pieces = viewer.follow(session, losses.put, lease=60.0)
    assert next(pieces) == Output(0, b"a\n")
    found: list[LogItem] = []
    thread = threading.Thread(target=lambda: found.append(next(pieces)))
    thread.start()
    daemon.stop()
    assert isinstance(losses.get(timeout=20), PyCloudError)
    daemon.start()
    assert losses.get(timeout=20) is None
    with (daemon.data / "logs" / f"{session}.log").open("ab") as log:
        log.write(b"b\n")
    thread.join(20)
    assert found == [Output(2, b"b\n")]
