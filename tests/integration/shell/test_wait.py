"""``pycloudctl wait``: the exit code of a session becomes ours."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pycloud.protocol.messages import Event, encode
from tests.support.daemon import Daemon
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SESSION = "0123456789cccccccccc"


@pytest.mark.parametrize("restart", [False, True])
def test_a_session_of_a_real_cloud(
    own_redis: RedisServer, shell: Shell, daemon_on: Callable[..., Daemon], tmp_path: Path, restart: bool
) -> None:
    shell.env.update(PYCLOUD_REDIS_URL=own_redis.url, PYCLOUD_NAMESPACE="")
    daemon_on(own_redis).start()
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; exit 7"
    session = shell.run("create", "-", "-o", "ids", stdin=script.encode()).lines[0]
    with shell.start("wait", session[:8], "-o", "json") as process, redis.Redis.from_url(own_redis.url) as server:
        wait_until(lambda: "cmdstat_xread" in server.info("commandstats"), 20)
        if restart:
            own_redis.restart(keep_data=False)
        (tmp_path / "go").touch()
        out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (7, b"")
    assert json.loads(out)["exit_code"] == 7


def test_ctrl_c_ends_no_session(shell: Shell) -> None:
    session = shell.obedient.add()
    with shell.start("wait", session) as process:
        wait_until(lambda: shell.node.heard, 20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 130
    assert b"the session keeps running" in err
    assert shell.obedient.sessions[session] == "running"


def test_the_end_of_a_timeout(shell: Shell) -> None:
    session = shell.obedient.add()
    result = shell.run("wait", session, "--timeout", "0.5")

    assert (result.code, result.out) == (124, b"")
    assert "has not ended in time" in result.err


def test_a_session_that_is_removed_meanwhile(shell: Shell) -> None:
    session = shell.obedient.add()
    with shell.start("wait", session) as process:
        wait_until(lambda: shell.node.heard, 20)
        del shell.obedient.sessions[session]
        event = Event("session.removed", "cccccccccc", 1.5, session=session)
        shell.node.redis.xadd(shell.node.names.events_key, {"event": encode(event)})
        _, err = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 3
    assert b"it was removed" in err


def test_nobody_to_wait_for(shell: Shell) -> None:
    assert shell.run("wait", "ff").code == 3
    assert shell.run("wait", SESSION).code == 3
