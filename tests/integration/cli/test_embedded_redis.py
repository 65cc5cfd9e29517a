"""The private Redis: every server program that this machine has, started and ended for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pycloud.cli.embedded_redis import EmbeddedRedis, is_listening, private_redis, wait_for_previous
from pycloud.config import Config
from pycloud.errors import EmbeddedRedisError
from tests.support.fake_machine import config_with
from tests.support.ports import free_port
from tests.support.redis_server import binaries
from tests.support.waiting import wait_until

HOLDER = """
import sys, time
if sys.argv[3] == "patched":
    from gevent import monkey
    monkey.patch_all(subprocess=False, os=False, signal=False)
from pathlib import Path
from pycloud.cli.embedded_redis import RedisSupervisor
from pycloud.cli.embedded_redis import EmbeddedRedis
with EmbeddedRedis(sys.argv[1], Path(sys.argv[2])) as server, RedisSupervisor(server):
    print(server.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=sorted(binaries()))
def program(request: pytest.FixtureRequest) -> Path:
    return binaries()[request.param]


@pytest.fixture
def url() -> str:
    return f"redis://localhost:{free_port()}/0"


def is_gone(pid: int) -> bool:
    """Dead; where pid 1 is slow to reap, a zombie counts too."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_serves_keeps_its_data_and_ends(program: Path, url: str, tmp_path: Path) -> None:
    for before, after in ((None, b"1"), (b"1", b"2")):
        with EmbeddedRedis(url, tmp_path, program=program) as server, redis.Redis.from_url(url) as client:
            pid = server.pid
            assert pid is not None
            assert client.get("count") == before
            client.incr("count")
            assert client.get("count") == after
            assert os.getsid(pid) == pid
        assert server.pid is None
        assert is_gone(pid)
    assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700


def test_a_password_is_demanded_and_shows_nowhere(program: Path, tmp_path: Path) -> None:
    port = free_port()
    word = "a \"b\\ 'ü#"
    with EmbeddedRedis(f"redis://:a%20%22b%5C%20%27%C3%BC%23@127.0.0.1:{port}", tmp_path, program=program) as server:
        with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis(port=port, password=word) as client:
            assert client.ping()
        assert psutil.Process(server.pid).cmdline()[0].startswith(str(program))
        assert word not in " ".join(psutil.Process(server.pid).cmdline())


def test_only_loopback(url: str, tmp_path: Path) -> None:
    with EmbeddedRedis(url, tmp_path) as server:
        assert {c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"} == {
            "127.0.0.1"
        }


@pytest.mark.parametrize("patched", ["patched", "plain"])
def test_ends_with_a_parent_that_is_killed(url: str, tmp_path: Path, patched: str) -> None:
    command = [sys.executable, "-c", HOLDER, url, str(tmp_path), patched]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_for_previous(tmp_path, 10.0)
    wait_until(lambda: is_gone(pid), message="the private Redis outlived its daemon")
    # and the next one is not held up by it
    with EmbeddedRedis(url, tmp_path):
        pass


def test_a_successor_waits_for_the_end_of_its_predecessor(url: str, tmp_path: Path) -> None:
    with (
        EmbeddedRedis(url, tmp_path),
        pytest.raises(EmbeddedRedisError, match="another private Redis still uses"),
    ):
        EmbeddedRedis(url, tmp_path, timeout=0.1).start()


def test_a_port_that_is_taken(url: str, tmp_path: Path) -> None:
    with (
        EmbeddedRedis(url, tmp_path / "one"),
        pytest.raises(EmbeddedRedisError, match=r"another process listens on 127\.0\.0\.1:[0-9]+ already"),
    ):
        EmbeddedRedis(url, tmp_path / "two").start()


def test_a_server_that_dies_says_why(program: Path, url: str, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonlydir").write_text("no directory")
    server = EmbeddedRedis(url, tmp_path, program=program)
    with pytest.raises(EmbeddedRedisError, match=r"ended at once; its last log lines: .*append"):
        server.start()
    assert server.pid is None


def test_a_program_that_is_no_server(url: str, tmp_path: Path) -> None:
    server = EmbeddedRedis(url, tmp_path, program=Path("/bin/false"))
    with pytest.raises(EmbeddedRedisError, match="ended at once; its last log lines: none"):
        server.start()
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\necho just sitting here\nexec sleep 600\n")
    silent.chmod(0o700)
    server = EmbeddedRedis(url, tmp_path, program=silent, timeout=0.5)
    with pytest.raises(EmbeddedRedisError, match=r"does not answer after 0\.5 s; .*: just sitting here"):
        server.start()
    assert server.pid is None


def test_private_redis_runs_for_the_block_only(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_with(tmp_path, redis=url, embedded_redis=True)
    port = int(url.split(":")[2].split("/")[0])
    with caplog.at_level("INFO"), private_redis(config, foreground=False, in_container=False) as server:
        assert server is not None
        assert is_listening("127.0.0.1", port)
    assert not is_listening("127.0.0.1", port)
    assert [message for message in caplog.messages if "started a private Redis" in message]


def test_nothing_configured_and_nothing_there(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def around(data_dir: Path) -> AbstractContextManager[EmbeddedRedis | None]:
        # Not named in sources: as if this were the default URL.
        config = Config(redis=url, data_dir=data_dir, run_dir=data_dir, hostname="h")
        return private_redis(config, foreground=True, in_container=False)

    with caplog.at_level("INFO"), around(tmp_path / "one") as first, around(tmp_path / "two") as second:
        assert first is not None
        assert second is None
    assert [message for message in caplog.messages if message.startswith("no Redis was configured")]
    assert len(caplog.messages) == 1


def answers(url: str) -> bool:
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


@pytest.mark.parametrize("patched", ["patched", "plain"])
def test_a_private_redis_that_dies_is_started_again(url: str, tmp_path: Path, patched: str) -> None:
    command = [sys.executable, "-c", HOLDER, url, str(tmp_path), patched]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            for _ in range(2):
                with redis.Redis.from_url(url) as client:
                    client.incr("count")
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
                wait_until(lambda: answers(url))
                (server,) = psutil.Process(parent.pid).children()
                pid = server.pid
            with redis.Redis.from_url(url) as client:
                assert client.get("count") == b"2"
        finally:
            parent.kill()
    wait_until(lambda: is_gone(pid), message="the private Redis outlived its daemon")


def test_it_says_once_that_it_cannot_start_it_again(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_with(tmp_path, redis=url, embedded_redis=True)
    with caplog.at_level("INFO"), private_redis(config, foreground=False, in_container=False) as server:
        assert server is not None
        works, server.program = server.program, Path("/bin/false")
        os.kill(server.pid or 0, signal.SIGKILL)
        wait_until(lambda: "cannot be started, will retry" in caplog.text)
        server.program = works
        wait_until(lambda: "runs again" in caplog.text)
        assert answers(url)
    assert [message.count("signal 9") for message in caplog.messages if "has ended unexpectedly" in message] == [1]
    assert caplog.text.count("cannot be started") == 1
    assert not answers(url)
