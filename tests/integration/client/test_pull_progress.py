"""A create whose image is being pulled: the client waits for as long as that gets on."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from pycloud.client import Client, NoAnswer
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Event, encode
from tests.support.fake_node import FakeCloud, Fields, Heard
from tests.support.redis_server import RedisServer

#: The client's timeout in these tests (s), and how many events come, several within it.
TIMEOUT, EVENTS = 1.5, 8
SESSION = "5" * 10 + "c" * 10


class Puller:
    """A cloud that pulls for longer than the timeout, and then answers, if ``answers``."""

    def __init__(self, server: RedisServer, answers: bool) -> None:
        self.names, self._answers = Keys(f"test.{secrets.token_hex(4)}"), answers
        self.cloud = FakeCloud(server.url, self.reply, names=self.names)
        self.thread: threading.Thread | None = None

    def reply(self, heard: Heard, before: int) -> None:
        """Begin to pull at the first request; a repeat changes nothing."""
        if not before:
            self.thread = threading.Thread(target=self._pull, args=(heard.fields,))
            self.thread.start()

    def _pull(self, fields: Fields) -> None:
        channel = self.names.progress_channel(fields["id"])
        for part in range(EVENTS):
            event = Event("session.pulling", "c" * 10, time.time(), request=fields["id"], image="i", done=part / EVENTS)
            self.cloud.redis.publish(channel, encode(event))
            self.cloud.redis.publish(channel, b"no event")
            time.sleep(TIMEOUT / 5)
        if self._answers:
            answer = b'{"cloud": "cccccccccc", "id": "%s"}' % SESSION.encode()
            self.cloud.redis.publish(self.names.response_channel("create", fields["id"]), answer)


@pytest.fixture
def pulling(request: pytest.FixtureRequest, shared_redis: RedisServer) -> Iterator[Puller]:
    """A cloud that pulls; the parameter says whether it answers at last."""
    puller = Puller(shared_redis, request.param)
    with puller.cloud:
        yield puller
        assert puller.thread is not None
        puller.thread.join()


@pytest.mark.parametrize("pulling", [True], indirect=True)
def test_the_timeout_counts_from_the_last_event(pulling: Puller, shared_redis: RedisServer) -> None:
    seen: list[Event] = []
    with Client(shared_redis.url, namespace=pulling.names.namespace) as client:
        created = client.create("i\n{}", timeout=TIMEOUT, on_progress=seen.append)
    assert created.id == SESSION
    assert [event.done for event in seen] == [part / EVENTS for part in range(EVENTS)]


@pytest.mark.parametrize("pulling", [False], indirect=True)
def test_a_pull_that_gets_no_further_is_given_up(pulling: Puller, shared_redis: RedisServer) -> None:
    seen: list[float] = []
    with Client(shared_redis.url, namespace=pulling.names.namespace) as client:
        with pytest.raises(NoAnswer):
            client.create("i\n{}", timeout=TIMEOUT, on_progress=lambda _event: seen.append(time.monotonic()))
        assert len(seen) == EVENTS
        assert time.monotonic() - seen[-1] >= TIMEOUT
