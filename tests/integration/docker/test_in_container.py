"""PyCloud in a container of its own, beside the sessions it starts: built by the Dockerfile, run as the docs say.

One engine holds PyCloud's container, which was given the engine's socket, and the sessions. Redis and the requester are
on the host.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pycloud
from tests.support import container_image, requirements
from tests.support import image_registry as registries
from tests.support.engine import Engine
from tests.support.image_registry import Registry
from tests.support.redis_server import RedisServer
from tests.support.requester import PREFIX, Requester
from tests.support.waiting import wait_until

BASE, IMAGE = "base:test", "pycloud:test"
PASSWORD = secrets.token_hex(8)
WEB_SCRIPT, PAGE = 'web\n{"port": 80, "stop_grace": 0}\n', b"hello"
SOCKET, DATA = "/var/run/docker.sock", "/var/lib/pycloud"


@pytest.fixture(scope="module")
def built(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The engine, with PyCloud's image in it."""
    container_image.import_base(shared_engine, tmp_path_factory.mktemp("base"), BASE)
    container_image.build(shared_engine, BASE, IMAGE)
    return shared_engine


@pytest.fixture(scope="module")
def server(built: Engine) -> Iterator[RedisServer]:
    """A Redis that asks for a password, and that containers reach at the host's end of their bridge."""
    with RedisServer(options=["--bind", "127.0.0.1", gateway(built), "--requirepass", PASSWORD]) as made:
        yield made


def group_of_the_socket(engine: Engine) -> str:
    return str(engine.socket.stat().st_gid)


def gateway(engine: Engine) -> str:
    return engine.docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")


class Contained:
    """One container of PyCloud's, as the docs start it. ``flags`` are the engine's, ``settings`` PyCloud's."""

    def __init__(self, engine: Engine, *flags: str, settings: tuple[str, ...] = ()) -> None:
        self.engine = engine
        self.id = engine.docker("run", "--detach", "--volume", f"{engine.socket}:{SOCKET}", *flags, IMAGE, *settings)

    def log(self) -> str:
        return container_image.docker(self.engine, "logs", self.id)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.inspect(self.id)["State"]
        return found

    def ready(self) -> Contained:
        wait_until(lambda: " ready: " in self.log() or not self.state()["Running"], 30, self.log)
        assert self.state()["Running"], self.log()
        return self

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        wait_until(lambda: not self.state()["Running"], 30, self.log)
        return int(self.state()["ExitCode"])

    def run(self, *command: str) -> str:
        return container_image.docker(self.engine, "exec", self.id, *command, check=False)

    def remove(self) -> None:
        self.engine.docker("rm", "--force", "--volumes", self.id, check=False)


@pytest.fixture
def contained(built: Engine, server: RedisServer) -> Iterator[Callable[..., Contained]]:
    """Starts containers of PyCloud's that know the Redis; they go with the test, their sessions too."""
    made: list[Contained] = []
    url = f"redis://:{PASSWORD}@{gateway(built)}:{server.port}/0"
    given = ("--group-add", group_of_the_socket(built), "--env", f"PYCLOUD_REDIS_URL={url}")

    def start(*flags: str, settings: tuple[str, ...] = ()) -> Contained:
        made.append(Contained(built, *given, *flags, settings=settings))
        return made[-1].ready()

    yield start
    for each in made:
        each.remove()
    for name in built.containers("pycloud.session"):
        built.docker("rm", "--force", "--volumes", name)


@pytest.fixture
def volume(built: Engine) -> Iterator[str]:
    """A volume in the place where PyCloud keeps its data."""
    name = "data-" + secrets.token_hex(4)
    yield f"{name}:{DATA}"
    built.docker("volume", "rm", name)


@pytest.fixture
def requester(server: RedisServer) -> Iterator[Requester]:
    with Requester(f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0") as made:
        yield made


def typed(server: RedisServer, script: str, requester: Requester) -> dict[str, Any]:
    """The answer to a create that somebody types: ``redis-cli publish``."""
    request = {"id": "typed-" + secrets.token_hex(4), "script": script}
    words = [
        requirements.program("redis-cli"),
        "-p",
        str(server.port),
        "publish",
        f"{PREFIX}.create",
        json.dumps(request),
    ]
    subprocess.run(words, env={**os.environ, "REDISCLI_AUTH": PASSWORD}, check=True, capture_output=True)
    (answer,) = requester.answers("create", request["id"], timeout=30)
    created: dict[str, Any] = json.loads(answer)
    return created


def page_at(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return bytes(answer.read())


def test_the_image_says_what_it_is(built: Engine) -> None:
    config = built.inspect(IMAGE)["Config"]
    label = "org.opencontainers.image."
    assert config["Labels"][label + "version"] == pycloud.__version__
    assert {label + "title", label + "description", label + "licenses"} <= set(config["Labels"])
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert list(config["Volumes"]) == [DATA]
    assert not [each for each in config["Env"] if "REDIS" in each or "PASS" in each]


def test_sessions_survive_the_replacement_of_the_container(
    built: Engine, server: RedisServer, volume: str, contained: Callable[..., Contained], requester: Requester
) -> None:
    first = contained("--volume", volume)
    created = typed(server, WEB_SCRIPT, requester)
    assert page_at(created["port"]) == PAGE
    assert created["ports"] == {"80/tcp": created["port"]}
    (name,) = built.containers("pycloud.session")
    began = built.inspect(name)["State"]["StartedAt"]

    first.remove()
    assert page_at(created["port"]) == PAGE
    contained("--volume", volume)

    found = requester.status(created["id"])
    assert found["status"] is True
    for key in ("cloud", "id", "host", "port", "ports"):
        assert found[key] == created[key]
    assert built.inspect(name)["State"]["StartedAt"] == began
    assert page_at(created["port"]) == PAGE
    assert requester.remove(created["id"])["status"] is True
    assert built.containers("pycloud.session") == []


def test_it_is_restarted_with_its_sessions(
    built: Engine, contained: Callable[..., Contained], requester: Requester
) -> None:
    only = contained()
    created = requester.create(WEB_SCRIPT)
    built.docker("restart", "--time", "30", only.id)
    wait_until(lambda: only.log().count(" ready: ") == 2, 30, only.log)
    built.docker("kill", only.id)
    built.docker("start", only.id)
    wait_until(lambda: only.log().count(" ready: ") == 3, 30, only.log)
    found = requester.status(created["id"])
    assert (found["status"], found["cloud"], found["port"]) == (True, created["cloud"], created["port"])
    assert page_at(created["port"]) == PAGE


def test_two_containers_do_not_share_a_volume(volume: str, contained: Callable[..., Contained]) -> None:
    first = contained("--volume", volume)
    with pytest.raises(AssertionError, match="uses the data directory"):
        contained("--volume", volume)
    assert first.state()["Running"]


def test_it_logs_in_to_registries_as_its_own_user(
    built: Engine, contained: Callable[..., Contained], requester: Requester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if reason := registries.missing():
        requirements.missing(reason)
    with Registry(tmp_path_factory.mktemp("locked"), locked=True) as registry:
        image = registry.fill(built, "secret:1") + "\n{}"
        logins = registry.credentials() / "config.json"
        logins.chmod(0o644)
        contained("--volume", f"{logins}:{DATA}/.docker/config.json:ro")
        assert requester.create(image, timeout=30)["state"] == "running"


def test_a_session_that_ended_while_no_container_was_there(
    volume: str, contained: Callable[..., Contained], requester: Requester
) -> None:
    first = contained("--volume", volume)
    waits = {"command": ["sh", "-c", "while [ ! -e /gone ]; do sleep 0.05; done; exit 7"]}
    created = requester.create(f"web\n{json.dumps(waits)}")
    first.remove()
    name = "pycloud_" + created["id"]
    first.engine.docker("exec", name, "touch", "/gone")
    wait_until(lambda: not first.engine.inspect(name)["State"]["Running"])
    contained("--volume", volume)
    found = requester.status(created["id"])
    assert (found["status"], found["exit_code"]) == (False, 7)


def test_requesters_are_told_the_name_of_the_host(contained: Callable[..., Contained], requester: Requester) -> None:
    plain = contained()
    host = plain.engine.docker("info", "--format", "{{.Name}}")
    assert requester.create(WEB_SCRIPT)["host"] == host
    assert plain.run("hostname") != host
    plain.remove()
    unset = contained("--env", "PYCLOUD_HOSTNAME=")  # as compose.yaml has it
    assert requester.create(WEB_SCRIPT)["host"] == host
    unset.remove()
    contained(settings=("--hostname", "game7.example.net"))
    assert requester.create(WEB_SCRIPT)["host"] == "game7.example.net"


def test_it_is_not_root_and_serves_no_scripts(contained: Callable[..., Contained], requester: Requester) -> None:
    for flags in ((), ("--env", "PYCLOUD_RUNTIME=auto")):
        only = contained(*flags)
        assert only.run("id", "-u") == "10001"
        answer = requester.create("exec sleep 60")
        assert answer["error"]["code"] == "wrong_runtime", answer
        only.remove()


def test_it_is_healthy_while_requests_are_taken(
    built: Engine, server: RedisServer, contained: Callable[..., Contained]
) -> None:
    # The flags must not matter to the check: it finds them itself, also behind an init.
    only = contained("--init", settings=("--namespace", "healthy"))
    assert only.run("python3", "-m", "pycloud.health") == "accepts requests"
    test = built.inspect(IMAGE)["Config"]["Healthcheck"]["Test"]
    assert test == ["CMD", "python3", "-m", "pycloud.health"]
    server.freeze()
    try:
        assert "Timeout" in only.run("python3", "-m", "pycloud.health")
    finally:
        server.thaw()


def test_sigterm_ends_it_in_order_and_sessions_go_on(
    built: Engine, contained: Callable[..., Contained], requester: Requester
) -> None:
    only = contained()
    created = requester.create(WEB_SCRIPT)
    built.docker("stop", "--time", "30", only.id)
    assert only.ended() == 0
    assert "sessions keep running" in only.log()
    assert page_at(created["port"]) == PAGE


def refusal(engine: Engine, *flags: str) -> str:
    """The one line that a container ends with."""
    alone = Contained(engine, *flags)
    try:
        assert alone.ended() == 2, alone.log()
        (line,) = alone.log().splitlines()
        return line
    finally:
        alone.remove()


def test_without_a_redis_it_says_how_to_name_one(built: Engine) -> None:
    assert "-e PYCLOUD_REDIS_URL" in refusal(built, "--group-add", group_of_the_socket(built))


def test_where_it_may_not_use_the_socket_it_says_how_to_open_it(built: Engine) -> None:
    said = refusal(built, "--env", "PYCLOUD_REDIS_URL=redis://127.0.0.1:1/0")
    assert f"--group-add {group_of_the_socket(built)}" in said
