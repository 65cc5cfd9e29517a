"""The client against a real Redis and a Valkey, with a cloud that plays along."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from pycloud.client import Client, NoCloud, RedisUnavailable, RequestRefused, UnusableAnswer
from pycloud.protocol.keys import Keys
from tests.support.fake_node import FakeCloud, Heard, Obedient
from tests.support.redis_server import RedisServer


@dataclass
class Scene:
    """A client and a cloud that hear nobody else."""

    client: Client
    cloud: FakeCloud
    obedient: Obedient

    @property
    def channels(self) -> list[str]:
        return [heard.channel for heard in self.cloud.heard]


@pytest.fixture
def scene(each_redis: RedisServer) -> Iterator[Scene]:
    names = Keys(f"test.{secrets.token_hex(4)}")
    obedient = Obedient(names=names)
    with (
        FakeCloud(each_redis.url, obedient, names=names) as cloud,
        Client(each_redis.url, namespace=names.namespace, timeout=10) as client,
    ):
        obedient.redis = cloud.redis
        yield Scene(client, cloud, obedient)


def test_create_status_remove(scene: Scene) -> None:
    created = scene.client.create("sleep 60", env={"A": "b"}, id="r1")

    assert (created.cloud, created.host, created.port, created.state) == ("cccccccccc", "here", 4000, "running")
    assert scene.cloud.heard[0].fields == {"id": "r1", "script": "sleep 60", "env": {"A": "b"}}
    assert scene.client.status(created.id).status
    assert scene.client.remove(created.id).status
    assert not scene.client.remove(created.id).status
    assert not scene.client.status(created.id).status


def test_each_request_has_an_id_of_its_own(scene: Scene) -> None:
    session = scene.obedient.add()
    for _ in range(3):
        scene.client.status(session)

    assert len({heard.fields["id"] for heard in scene.cloud.heard}) == 3


def test_who_knows_the_owner_asks_it_directly(scene: Scene) -> None:
    session = scene.obedient.add()
    scene.client.status(session)
    scene.client.remove(session)

    assert scene.channels == [scene.cloud.names.node_channel("cccccccccc")] * 2


def test_where_the_owner_is_away_all_are_asked_at_once(scene: Scene) -> None:
    elsewhere = "0123456789" + "dddddddddd"

    assert not scene.client.status(elsewhere).status
    assert scene.channels == [scene.cloud.names.request_channel("status")]


def test_logs_are_bytes(scene: Scene) -> None:
    scene.obedient.output = b"\xff\x00one\r\ntwo"
    session = scene.obedient.add()

    assert scene.client.logs(session) == b"\xff\x00one\r\ntwo"
    assert scene.client.logs(session, max_bytes=3) == b"two"
    with pytest.raises(LookupError, match="has no session"):
        scene.client.logs("0123456789cccccccccc")


def test_logs_of_a_session_whose_cloud_is_away(scene: Scene) -> None:
    with pytest.raises(NoCloud, match="dddddddddd"):
        scene.client.logs("0123456789dddddddddd")
    assert not scene.cloud.heard


def test_a_refusal_is_raised_with_all_there_is_to_know(scene: Scene) -> None:
    with pytest.raises(RequestRefused, match="no such interpreter") as caught:
        scene.client.create("refuse me")

    assert caught.value.code == "start_failed"
    assert caught.value.response.cloud == "cccccccccc"


def test_a_request_gives_the_answer_as_it_came(scene: Scene) -> None:
    answer = scene.client.request("create", {"script": "refuse me"}, id="r9")

    assert answer.raw.startswith(b'{"cloud": "cccccccccc", "id": null, "error"')
    with pytest.raises(RequestRefused):
        answer.raise_for_error()


def test_no_cloud_is_said_before_anything_is_published(scene: Scene) -> None:
    scene.cloud.retire()

    with pytest.raises(NoCloud, match=r"--redis.*--namespace"):
        scene.client.create("sleep 60")
    with pytest.raises(NoCloud):
        scene.client.status(scene.obedient.add())
    assert not scene.cloud.heard


def test_sessions_are_read_page_by_page(scene: Scene) -> None:
    names, redis = scene.cloud.names, scene.cloud.redis
    ids = [f"{number:010x}cccccccccc" for number in range(1203)]
    with redis.pipeline() as pipeline:
        for number, session in enumerate(ids):
            pipeline.zadd(names.sessions_key, {session: number})
            if number % 100 != 7:  # these are in the index only: their record has expired
                pipeline.hset(names.session_key(session), mapping={"cloud": "cccccccccc", "state": "running"})
        pipeline.execute()

    def pages() -> int:
        return int(redis.info("commandstats").get("cmdstat_zrangebyscore", {}).get("calls", 0))

    before = pages()
    assert list(scene.client.session_ids()) == ids
    assert 1 < pages() - before < 10, "a few calls, and not all at once"
    found = [record.id for record in scene.client.sessions()]
    assert found == [session for number, session in enumerate(ids) if number % 100 != 7]


def test_no_sessions_and_no_clouds(scene: Scene) -> None:
    scene.cloud.retire()

    assert list(scene.client.sessions()) == []
    assert scene.client.nodes() == []


def test_clouds_are_those_that_live(scene: Scene) -> None:
    scene.cloud.redis.zadd(scene.cloud.names.nodes_key, {"dddddddddd": 1})

    assert [(rank.id, rank.host) for rank in scene.client.nodes()] == [("cccccccccc", "here")]


def test_threads_may_share_a_client(scene: Scene) -> None:
    def life(number: int) -> tuple[str, bool, bool]:
        created = scene.client.create(f"sleep {number}")
        return created.id, scene.client.status(created.id).status, scene.client.remove(created.id).status

    with ThreadPoolExecutor(16) as pool:
        lives = list(pool.map(life, range(64)))

    assert len({session for session, _, _ in lives}) == 64
    assert all(alive and removed for _, alive, removed in lives)


def test_an_answer_that_is_none_is_named_as_such(each_redis: RedisServer) -> None:
    def nonsense(heard: Heard, before: int) -> bytes:
        return b'{"cloud": 5'

    names = Keys(f"test.{secrets.token_hex(4)}")
    with FakeCloud(each_redis.url, nonsense, names=names), Client(each_redis.url, namespace=names.namespace) as client:
        with pytest.raises(UnusableAnswer):
            client.create("x")
        with pytest.raises(UnusableAnswer):
            client.status("0123456789cccccccccc")


def test_over_a_unix_socket() -> None:
    with RedisServer(unix_socket=True) as server, FakeCloud(server.url, Obedient()), Client(server.url) as client:
        assert client.create("x").cloud == "cccccccccc"


def test_with_a_password() -> None:
    with RedisServer(options=["--requirepass", "sesame"]) as server:
        right, wrong = (server.url.replace("//", f"//:{password}@") for password in ("sesame", "barley"))
        with FakeCloud(right, Obedient()), Client(right) as client:
            assert client.create("x").cloud == "cccccccccc"
        for url in (wrong, server.url):
            with Client(url) as client, pytest.raises(RedisUnavailable) as caught:
                client.create("x")
            assert "barley" not in caught.value.message
