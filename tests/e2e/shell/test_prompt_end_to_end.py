"""The prompt and ``top`` with a real cloud behind them."""

from __future__ import annotations

from collections.abc import Callable

from pycloud.client import Client
from tests.support.daemon import Daemon
from tests.support.pycloudctl import Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import ENTER, TAB, Screen
from tests.support.waiting import wait_until

ESC_ENTER = "\x1b\r"


def test_an_hour_at_the_prompt_in_short(own_redis: RedisServer, shell: Shell, daemon_on: Callable[..., Daemon]) -> None:
    daemon = daemon_on(own_redis).start()
    shell.env |= {"PYCLOUD_REDIS_URL": own_redis.url, "PYCLOUD_NAMESPACE": "year4000.pycloud"}
    with Client(own_redis.url) as elsewhere:
        screen = Screen(shell, lines=24)
        screen.shows("nodes 1 up | sessions 0 live")
        screen.type(f"create{ENTER}")
        screen.shows("Esc Enter")
        screen.type(f"echo hello from here{ENTER}exec sleep 300{ESC_ENTER}")
        screen.shows("Next: status ", "sessions 1 live")
        screen.type("half a li")
        other = elsewhere.create("exit 3").id
        screen.shows("session.exited", other, "exit 3", "pycloud> half a li")
        mine = next(record.id for record in elsewhere.sessions() if record.status)
        assert f"{daemon.cloud}  {mine}" not in screen.text, "what one does oneself is no news"
        script = shell.home / "script"
        script.write_text("exit 4")
        screen.type(f"\x15create {script} --count 2{ENTER}")
        screen.shows("Started 2 of 2 sessions")
        screen.type(f"drain host.test{ENTER}")
        screen.shows("is draining; ")
        screen.type(f"undrain host.test{ENTER}")
        screen.shows("accepts sessions again")
        elsewhere.create("exit 5")
        screen.shows("exit 5")
        for own in ("exit 4", "cloud.draining"):
            assert own not in screen.raw, "neither is what several creates, or drain, have done"
        screen.type(f"\x15status {mine[:4]}")
        screen.shows(f"{mine}  running host.test:")
        screen.type(TAB)
        screen.shows(f"pycloud> status {mine}")
        screen.type(f"\x15top{ENTER}")
        screen.shows(f"{daemon.cloud}  host.test", mine, other, "5 by created")
        screen.type("l")
        screen.shows("hello from here")
        daemon.kill()
        screen.shows("silent")
        screen.shows(f"{daemon.cloud}  offline; sessions: 1", "last known")
        daemon.start()
        screen.shows("nodes 1 up | sessions 1 live")
        screen.type("xy")
        screen.shows(f"{mine} removed.")
        wait_until(lambda: daemon.sessions() == {}, 20)
        screen.type("q")
        screen.asks()
        screen.close()
