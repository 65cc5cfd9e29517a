"""A runtime that is a package of its own: found, chosen, listed, inspected, followed, adopted and ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pycloud.client.client import Client
from pycloud.client.errors import RequestRefused
from tests.support.daemon import ROOT, Daemon
from tests.support.log_viewer import Viewer, read
from tests.support.pycloudctl import PYCLOUDCTL
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

PACKAGE = ROOT / "tests" / "support" / "echo_runtime"
#: Without the package wheel, which pip needs to install with the build tools that are there.
INSTALL = "import setuptools; setuptools.setup()"
#: The first line of a script that the runtime matches.
MARK = "#!echo\n"


class PluginDaemon(Daemon):
    """A daemon that finds the package in the directory ``site``."""

    site: Path

    @property
    def command(self) -> list[str]:
        return ["env", f"PYTHONPATH={ROOT}:{self.site}", *super().command]


Node = Callable[..., PluginDaemon]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the package is installed, with its metadata."""
    source, target = tmp_path_factory.mktemp("source") / "package", tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, source)
    commands = [each for name in ("install_lib", "install_egg_info") for each in (name, "--install-dir", str(target))]
    command = [sys.executable, "-W", "ignore", "-c", INSTALL, "--quiet", *commands]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return target


@pytest.fixture
def node(site: Path, own_redis: RedisServer, tmp_path: Path) -> Iterator[Node]:
    """Makes daemons (not started) that find the package; they end with the test."""
    made: list[PluginDaemon] = []

    def make(**options: object) -> PluginDaemon:
        made.append(PluginDaemon(tmp_path / f"node{len(made)}", own_redis.url, **options))
        made[-1].site = site
        return made[-1]

    yield make
    for daemon in made:
        daemon.end()


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[Client]:
    with Client(own_redis.url) as client:
        yield client


def run(daemon: PluginDaemon, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run the daemon's command line with further flags, in the environment of a user."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYCLOUD_")}
    return subprocess.run([*daemon.command, *flags], env=env, capture_output=True, text=True, timeout=60)


def with_settings(daemon: PluginDaemon, content: str) -> str:
    """Write a settings file for a daemon, and name it in its flags; its path."""
    daemon.home.mkdir(exist_ok=True)
    file = daemon.home / "pycloud.toml"
    file.write_text(content)
    daemon.options["config"] = file
    return str(file)


def test_a_session_of_a_plugin_from_create_to_remove(node: Node, client: Client, own_redis: RedisServer) -> None:
    cloud = node()
    with_settings(cloud, 'runtime = ["script", "echo"]\n[echo]\nprefix = "> "\n')
    cloud.start()
    (heartbeat,) = client.nodes()
    assert heartbeat.runtimes == ("script", "echo")
    named = client.create("one\ntwo", runtime="echo").id
    matched = client.create(f"{MARK}three\nexit 7").id
    script = client.create("exec sleep 1000").id
    assert {record.id: record.runtime for record in client.records([named, matched, script])} == {
        named: "echo",
        matched: "echo",
        script: "script",
    }
    assert client.inspect(named).details["prefix"] == "> "
    assert client.wait(matched, timeout=10).exit_code == 7
    with Viewer(own_redis.url) as viewer:
        seen: list[bytes] = []
        output = viewer.follow(named)

        def heard(data: bytes) -> None:
            seen.append(data)
            if data == b"> one\n> two\n":
                with (cloud.data / "plugins" / "echo" / f"{named}.log").open("ab") as log:
                    log.write(b"later\n")
            elif data.endswith(b"later\n"):
                client.remove(named)

        assert read(output, heard)[0] == b"> one\n> two\nlater\n"
    assert not client.status(named).status
    assert not list((cloud.data / "plugins" / "echo").glob(f"{named}.*"))


def test_sessions_of_a_plugin_are_adopted_and_ended(node: Node, client: Client) -> None:
    cloud = node(runtime="echo").start()
    living, ended = client.create(f"{MARK}one").id, client.create(f"{MARK}two\nexit 3").id
    client.wait(ended, timeout=10)
    cloud.kill()
    cloud.start()
    assert client.status(living).state == "running"
    assert (client.status(ended).exit_code, client.logs(living)) == (3, b"one\n")
    client.remove(ended)
    other = client.create(f"{MARK}three").id
    cloud.kill()
    stopped = run(cloud, "--stop", "--on-stop", "remove")
    assert (stopped.returncode, stopped.stdout) == (0, "sessions ended: 2\n"), stopped.stderr
    assert list((cloud.data / "plugins" / "echo").iterdir()) == []
    cloud.start()
    wait_until(lambda: not client.status(living).status and not client.status(other).status)


def test_a_node_that_stops_with_on_stop_remove_ends_them(node: Node, client: Client) -> None:
    cloud = node(runtime="echo", on_stop="remove").start()
    client.create(f"{MARK}one")
    assert cloud.stop() == 0
    assert list((cloud.data / "plugins" / "echo").iterdir()) == []


def test_nodes_without_the_plugin_leave_its_sessions_alone(node: Node, client: Client) -> None:
    plain = node(runtime="script").start()
    with pytest.raises(RequestRefused) as refused:
        client.create("exec sleep 1000", runtime="ecko")
    advice = "Add it to the setting `runtime` of one, or use --runtime script"
    assert str(refused.value) == f"no eligible node has the runtime ecko. {advice}"
    plugin = node(runtime="echo").start()
    wait_until(lambda: len(client.nodes()) == 2)
    answers = [client.create("exec sleep 1000", runtime=name) for name in ("echo", "script") * 3]
    assert [answer.cloud for answer in answers] == [plugin.cloud, plain.cloud] * 3
    with pytest.raises(RequestRefused, match=r"runtime ecko, did you mean echo\? .* use --runtime echo or script"):
        client.create("exec sleep 1000", runtime="ecko")
    plugin.stop()
    with pytest.raises(RequestRefused):
        client.create("exec sleep 1000", runtime="echo")
    with pytest.raises(RequestRefused, match="cannot start echo"):
        client.create(f"{MARK}one")  # left open, it is what the nodes that are there make of it


def test_pycloudctl_names_any_runtime(node: Node, own_redis: RedisServer, tmp_path: Path) -> None:
    node(runtime="echo").start()
    (tmp_path / "script").write_text("one")
    words = ["--redis", own_redis.url, "-o", "json", "create", str(tmp_path / "script"), "--runtime"]
    done = subprocess.run([*PYCLOUDCTL, *words, "echo"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "running"), done.stderr
    done = subprocess.run([*PYCLOUDCTL, *words, "swarm"], capture_output=True, text=True, timeout=60)
    refusal = "no eligible node has the runtime swarm. Add it to the setting `runtime` of one, or use --runtime echo"
    assert refusal in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('runtime = "ecko"', "runtime: must be auto, or some of script, docker, echo, not 'ecko'"),
        ("[ecko]", "unknown key ecko"),
        ("echo = 1", "unknown key echo"),
        ('runtime = "echo"\n[echo]\nprefix = 7', "echo.prefix: Expected `str`, got `int`"),
        ('runtime = "echo"\n[echo]\npre = ""', "echo: Object contains unknown field `pre`"),
    ],
)
def test_settings_of_a_plugin_are_checked(node: Node, content: str, message: str) -> None:
    cloud = node()
    file = with_settings(cloud, content)
    checked = run(cloud, "--check-config")
    assert (checked.returncode, checked.stderr) == (2, f"pycloud: file {file}: {message}\n")
