"""What the library promises beside its answers: errors that say all there is to know, and misuse that is not sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest

from pycloud import client as library
from pycloud.client import Client, NoAnswer, NotFound, RedisLost, RequestRefused, deprecated
from pycloud.client import client as client_module
from pycloud.client.request import MAX_SCRIPT_BYTES, Answer, build_request
from pycloud.errors import PyCloudError
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import RemoveResponse
from tests.support.fake_node import FakeCloud, Obedient, silent
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SESSION = "0123456789cccccccccc"


@pytest.fixture
def cloud(shared_redis: RedisServer) -> Iterator[FakeCloud]:
    names = Keys(f"test.{secrets.token_hex(4)}")
    with FakeCloud(shared_redis.url, Obedient(names=names), names=names) as cloud:
        yield cloud


@pytest.fixture
def client(shared_redis: RedisServer, cloud: FakeCloud) -> Iterator[Client]:
    with Client(shared_redis.url, namespace=cloud.names.namespace) as client:
        yield client


def test_logs_of_an_unknown_session(client: Client) -> None:
    for kind in (NotFound, PyCloudError, LookupError):
        with pytest.raises(kind, match="has no session"):
            client.logs(SESSION)


def test_wishes_are_sent_along(client: Client, cloud: FakeCloud) -> None:
    client.create("x", where={"zone": "eu"}, id="r1")

    assert cloud.heard[0].fields == {"id": "r1", "script": "x", "where": {"zone": "eu"}}
    assert cloud.heard[0].channel == cloud.names.request_channel("create")


def test_a_cloud_of_choice_is_asked_first(client: Client, cloud: FakeCloud) -> None:
    client.create("x", cloud="cccccccccc", id="r1")
    client.create("x", cloud="dddddddddd", id="r2")

    assert cloud.heard[0].fields == {"id": "r1", "op": "create", "script": "x", "cloud": "cccccccccc"}
    names = cloud.names
    assert [each.channel for each in cloud.heard] == [
        names.node_channel("cccccccccc"),
        names.request_channel("create"),
    ]
    for unusable in ("ccc", ""):
        with pytest.raises(ValueError, match="not a node id"):
            client.create("x", cloud=unusable)


def test_a_script_that_no_cloud_can_take_is_not_sent(client: Client, cloud: FakeCloud) -> None:
    with pytest.raises(RequestRefused, match="larger than") as caught:
        client.create("x" * (MAX_SCRIPT_BYTES + 1))

    assert caught.value.code == "script_too_large"
    assert not cloud.heard
    assert build_request("create", {"script": "x" * MAX_SCRIPT_BYTES}, "r1").payload


@pytest.mark.parametrize("fields", [{"script": b"x"}, {"script": "x", "env": {"A": b"b"}}, {"script": "x", "cloud": 5}])
def test_bytes_are_not_turned_into_something_else(client: Client, cloud: FakeCloud, fields: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="str"):
        client.request("create", fields)
    assert not cloud.heard


def test_a_script_is_text(client: Client) -> None:
    with pytest.raises(TypeError, match="`script` must be a str, not bytes"):
        client.create(b"sleep 60")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["id", "op"])
def test_a_field_cannot_stand_in_for_an_argument(client: Client, name: str) -> None:
    with pytest.raises(ValueError, match="an argument of its own"):
        client.request("create", {"script": "x", name: "status"})


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 86401])
def test_nobody_waits_for_longer_than_a_day(client: Client, timeout: float) -> None:
    with pytest.raises(ValueError, match="at most 86400"):
        client.status(SESSION, timeout=timeout)
    with pytest.raises(ValueError, match="at most 86400"):
        Client(timeout=timeout)


def test_a_remove_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    class Noted:
        def __init__(self, *arguments: object) -> None:
            given.append(float(arguments[4]))  # type: ignore[arg-type]

        def run(self) -> bytes:
            return b'{"cloud": "c", "id": "s", "status": true}'

    monkeypatch.setattr(client_module, "Exchange", Noted)
    with Client() as client, Client(timeout=3) as hasty:
        client.status(SESSION), client.remove(SESSION), hasty.remove(SESSION), client.remove(SESSION, timeout=5)
    assert given == [10, 30, 3, 5]


def test_a_silent_remove_says_why_that_may_be(shared_redis: RedisServer) -> None:
    names = Keys(f"test.{secrets.token_hex(4)}")
    with (
        FakeCloud(shared_redis.url, silent, names=names),
        Client(shared_redis.url, namespace=names.namespace) as client,
    ):
        with pytest.raises(NoAnswer, match=r"may still be carried out\. .*stop_grace") as caught:
            client.remove(SESSION, id="r1", timeout=0.3)
        assert caught.value.request_id == "r1"
        with pytest.raises(NoAnswer) as asked:
            client.status(SESSION, timeout=0.3)
    assert "carried out" not in asked.value.message


def test_a_deadline_just_after_a_silence_is_nobodys_fault(shared_redis: RedisServer) -> None:
    names = Keys(f"test.{secrets.token_hex(4)}")
    with (
        FakeCloud(shared_redis.url, silent, names=names) as cloud,
        Client(shared_redis.url, namespace=names.namespace) as client,
    ):
        for _ in range(3):
            with pytest.raises(NoAnswer):
                client.create("x", timeout=1.02)
        assert len(cloud.heard) == 3, "nothing is published that cannot be answered in time"


def test_redis_lost_on_the_way(own_redis: RedisServer) -> None:
    with FakeCloud(own_redis.url, silent) as cloud, Client(own_redis.url) as client, ThreadPoolExecutor() as pool:
        future = pool.submit(client.create, "x", id="r1", timeout=2)
        wait_until(lambda: cloud.heard)
        own_redis.stop()
        with pytest.raises(RedisLost, match=r"may still be carried out.*same id \(r1\)") as caught:
            future.result(20)
    assert caught.value.request_id == "r1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clouds", "nodes"),
        ("known_clouds", "known_nodes"),
        ("pulse", "health"),
        ("examine", "diagnose"),
        ("follower", "event_follower"),
    ],
)
def test_methods_by_their_earlier_names_warn_and_do_the_same(client: Client, old: str, new: str) -> None:
    assert getattr(Client, old).__doc__ == f"Deprecated: use ``Client.{new}``."
    with pytest.warns(DeprecationWarning, match=f"Client.{old} is deprecated, use Client.{new}") as warned:
        found = getattr(client, old)()
    assert warned[0].filename == __file__, "the warning names the line that is to be changed"
    assert type(found) is type(getattr(client, new)())


def test_types_by_their_earlier_names_warn_and_are_the_same() -> None:
    for (module, old), (_new_module, new) in deprecated.RENAMED.items():
        with pytest.warns(DeprecationWarning, match=f"{module}.{old} is deprecated"):
            assert getattr(import_module(module), old).__name__ == new
    with pytest.raises(AttributeError, match="has no attribute 'never'"):
        getattr(library, "never")  # noqa: B009
    with pytest.raises(AttributeError, match="has no attribute 'never'"):
        getattr(import_module("pycloud.client.progress"), "never")  # noqa: B009


def test_attributes_by_their_earlier_names_warn_and_are_the_same() -> None:
    health = library.HealthSnapshot(0.1, (), frozenset("c"), 7)
    for old, value in {"clouds": (), "silent": {"c"}, "recorded": 7}.items():
        with pytest.warns(DeprecationWarning, match=f"HealthSnapshot.{old} is deprecated"):
            assert getattr(health, old) == value
    with pytest.warns(DeprecationWarning, match="KnownNode.rank is deprecated, use heartbeat"):
        assert library.KnownNode("c", None, 0.0, 0.0, 0, "").rank is None
    with pytest.warns(DeprecationWarning, match="Answer.accepted is deprecated, use Answer.raise_for_error"):
        assert Answer(b"", RemoveResponse("c", "s", True)).accepted()
