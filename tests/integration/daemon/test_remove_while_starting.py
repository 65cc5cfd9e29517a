"""A remove that comes while its script session is being started."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest

from tests.support.daemon import Daemon
from tests.support.event_listener import Events
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester

SLEEP = "exec sleep 1000"


@pytest.mark.parametrize("script", [SLEEP, "#!/no/such/program"])
def test_while_it_starts(
    own_redis: RedisServer,
    daemon_on: Callable[..., Daemon],
    requester_on: Callable[[RedisServer], Requester],
    script: str,
) -> None:
    cloud, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    assert requester.create(SLEEP, id="before")["state"] == "running"
    events = Events(requester)
    keeper = cloud.keeper_pid
    os.kill(keeper, signal.SIGSTOP)
    try:
        requester.publish("create", {"id": "C", "script": script})
        starting = events.first("session.starting")
        requester.publish("remove", {"id": "R", "session": starting["session"]})
        assert requester.answers("remove", "R", 1, 1) == [], "not while it may still come up"
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert json.loads(requester.answers("remove", "R")[0])["status"] is True
    assert json.loads(requester.answers("create", "C")[0])["error"]["code"] == "start_failed"
    assert events.names(starting["session"]) == ["session.starting", "session.failed", "session.removed"]
    assert list(cloud.sessions()) == [json.loads(requester.answers("create", "before")[0])["id"]]
    assert requester.status(starting["session"])["status"] is False
    assert "Traceback" not in cloud.log()
