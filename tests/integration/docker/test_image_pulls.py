"""Images that have to be pulled first, from a registry that refuses, takes its time, or dies in the middle."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from pycloud.client import Client
from pycloud.protocol.messages import Event
from tests.support import image_registry as registries
from tests.support import requirements
from tests.support.daemon import Daemon
from tests.support.docker_runtime import Failed, Host
from tests.support.engine import Engine
from tests.support.image_registry import PASSWORD, USER, Registry
from tests.support.redis_server import RedisServer
from tests.support.requester import PREFIX, Requester
from tests.support.waiting import wait_until

HostOn = Callable[..., Host]
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def made_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    _needed()
    with Registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def registry(made_registry: Registry) -> Iterator[Registry]:
    """The registry of this file; it runs, and its gate is open."""
    if made_registry.process is None:
        made_registry.start()
    yield made_registry
    made_registry.gate.open()


@pytest.fixture(scope="module")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    _needed()
    with Registry(tmp_path_factory.mktemp("locked"), locked=True) as made:
        yield made


def _needed() -> None:
    if reason := registries.missing():
        requirements.missing(reason)


def wait_for_bytes(host: Host, session: str) -> None:
    """Until some of the image has come, but not all of it."""

    def some() -> bool:
        return any(0 < (fields["done"] or 0) < 1 for _, fields in host.progress.get(session, []))

    wait_until(some, 20, lambda: f"{host.progress}")


def test_one_pull_for_all_who_wait(engine: Engine, host_on: HostOn, registry: Registry) -> None:
    image, host = registry.fill(engine, "shared:1", 8 * MEGABYTE), host_on(engine, docker_parallel=2)
    before = registry.downloads("shared")
    registry.gate.allow(3 * MEGABYTE)
    waiting = [host.launch(image) for _ in range(4)]
    wait_for_bytes(host, waiting[0][0])
    assert not any(answer.done() for _, answer in waiting)
    assert host.start("box")  # a pull takes nobody's place
    late = host.launch(image)
    wait_until(lambda: len(host.progress.get(waiting[0][0], [])) >= 3)
    registry.gate.open()
    for _, answer in (*waiting, late):
        answer.result(30)
    assert registry.downloads("shared") - before == 2  # its one layer and its settings
    assert set(host.progress) == {session for session, _ in (*waiting, late)}
    for reports in host.progress.values():
        times = [at for at, _ in reports]
        assert all(later - earlier > 0.9 for earlier, later in pairwise(times))
        shares = [fields["done"] for _, fields in reports if fields["done"] is not None]
        assert shares == sorted(shares)
        assert {fields["image"] for _, fields in reports} == {image}
    engine.clear()
    engine.docker("rmi", image)


def test_a_requester_waits_for_as_long_as_a_pull_gets_on(
    engine: Engine, registry: Registry, own_redis: RedisServer, daemon_on: Callable[..., Daemon]
) -> None:
    image, seen = registry.fill(engine, "slow:1", 8 * MEGABYTE), list[Event]()
    registry.gate.allow(3 * MEGABYTE)
    cloud = daemon_on(own_redis, runtime="docker", docker_host=engine.host).start()
    with Requester(own_redis.url) as requester, Client(own_redis.url) as client, ThreadPoolExecutor() as pool:
        events = requester.redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        events.subscribe(f"{PREFIX}.events")
        answer = pool.submit(client.create, f"{image}\n{{}}", timeout=3, on_progress=seen.append)
        wait_until(lambda: seen and seen[-1].time - seen[0].time > 4, 30)
        assert requester.create("box\n{}")["state"] == "running", "it has lost none of its other work"
        registry.gate.open()
        created = answer.result(30)
        assert created.cloud == cloud.cloud
        assert {(event.event, event.session, event.image) for event in seen} == {("session.pulling", created.id, image)}
        told = [json.loads(message["data"]) for _ in range(200) if (message := events.get_message())]
        assert {each["request"] for each in told if each["event"] == "session.pulling"} == {seen[0].request}
    engine.clear()
    engine.docker("rmi", image)


def test_a_registry_that_dies_in_the_middle(engine: Engine, host_on: HostOn, registry: Registry) -> None:
    image, host = registry.fill(engine, "torn:1", 8 * MEGABYTE), host_on(engine)
    registry.gate.allow(3 * MEGABYTE)
    session, answer = host.launch(image)
    wait_for_bytes(host, session)
    registry.kill()
    registry.gate.cut()
    with pytest.raises(Failed) as failed:
        answer.result(60)
    assert (failed.value.kind, failed.value.passing) == ("StartFailed", True)
    assert image in failed.value.message
    with pytest.raises(Failed, match="StartFailed"):
        host.start(image)
    assert (engine.containers(), host.files()) == ([], [])
    registry.start()
    assert host.start(image)


def test_a_disk_that_is_full_in_the_middle(shared_engine: Engine, host_on: HostOn, registry: Registry) -> None:
    image = registry.fill(shared_engine, "large:1", 40 * MEGABYTE)
    engine = Engine()
    (engine.home / "root").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", engine.home / "root"], check=True)
    with engine:
        host = host_on(engine)
        with pytest.raises(Failed) as failed:
            host.start(image)
        assert (failed.value.kind, failed.value.passing) == ("StartFailed", True)
        assert "no space left on device" in failed.value.message
        assert (engine.containers(), host.files()) == ([], [])


def test_an_engine_that_dies_in_the_middle(own_engine: Engine, host_on: HostOn, registry: Registry) -> None:
    image, host = registry.fill(own_engine, "halved:1", 8 * MEGABYTE), host_on(own_engine)
    registry.gate.allow(3 * MEGABYTE)
    waiting = [host.launch(image) for _ in range(2)]
    wait_for_bytes(host, waiting[0][0])
    own_engine.kill()
    for _, answer in waiting:
        with pytest.raises(Failed, match="EngineUnavailable"):
            answer.result(30)
    registry.gate.open()
    own_engine.start()
    wait_until(lambda: host.call("unavailable_reason") is None)
    assert host.start(image)


def test_no_such_image(engine: Engine, host_on: HostOn, registry: Registry) -> None:
    host = host_on(engine)
    known = registry.fill(engine, "known:1")
    for image in (f"{registry.address}/unknown:1", known.replace(":1", ":2")):
        with pytest.raises(Failed) as failed:
            host.start(image)
        assert (failed.value.kind, failed.value.passing) == ("ImageNotFound", True)
        assert image in failed.value.message
    assert (engine.containers(), host.files()) == ([], [])


def test_a_login_is_needed(engine: Engine, host_on: HostOn, locked_registry: Registry, tmp_path: Path) -> None:
    image, login = locked_registry.fill(engine, "secret:1"), tmp_path / "login"
    login.mkdir()
    host = host_on(engine, env={"DOCKER_CONFIG": str(login)})
    with pytest.raises(Failed) as failed:
        host.start(image)
    assert (failed.value.kind, failed.value.passing) == ("ImageDenied", True)
    wrong = locked_registry.credentials("wrong") / "config.json"
    (login / "config.json").write_text(wrong.read_text())
    with pytest.raises(Failed, match="ImageDenied"):
        host.start(image)
    right = locked_registry.credentials() / "config.json"
    (login / "config.json").write_text(right.read_text())  # read again for each pull
    assert host.start(image)
    engine.clear()
    engine.docker("rmi", image)


def test_credentials_from_a_helper(engine: Engine, host_on: HostOn, locked_registry: Registry, tmp_path: Path) -> None:
    image, login = locked_registry.fill(engine, "helped:1"), tmp_path / "login"
    login.mkdir()
    (login / "config.json").write_text('{"credsStore": "test"}')
    helper = login / "docker-credential-test"
    helper.write_text(f'#!/bin/sh\nsleep 1\necho \'{{"Username": "{USER}", "Secret": "{PASSWORD}"}}\'\n')
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    host = host_on(engine, env={"DOCKER_CONFIG": str(login), "PATH": f"{login}:{os.environ['PATH']}"})
    _, answer = host.launch(image)
    assert host.start("box")
    assert not answer.done()  # a slow helper holds up nobody else
    answer.result(30)


def test_a_policy_of_always(engine: Engine, host_on: HostOn, registry: Registry) -> None:
    image = registry.fill(engine, "moving:1")
    always, missing = host_on(engine, docker_pull="always"), host_on(engine)
    first = always.start(image)
    old = engine.inspect(f"pycloud_{first}")["Image"]
    engine.image(image, ["sleep", "2000"])
    engine.docker("push", "--quiet", image)
    newer = engine.docker("image", "inspect", "--format", "{{.Id}}", image)
    engine.docker("tag", old, image)
    assert engine.inspect(f"pycloud_{missing.start(image)}")["Image"] == old
    assert engine.inspect(f"pycloud_{always.start(image)}")["Image"] == newer
