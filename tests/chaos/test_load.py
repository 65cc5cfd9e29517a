"""The load: what is answered is not asked again, but for one repeat now and then; what is not answered is."""

from __future__ import annotations

from collections import Counter

from tests.chaos.load import Load, Plan
from tests.chaos.response_listener import Ears
from tests.support.fake_node import FakeCloud, Fields, Heard, Obedient
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


def times_published(load: Load, op: str) -> Counter[int]:
    """How many requests of this kind were published how often."""
    return Counter(len(asked.published) for asked in load.asked.values() if asked.op == op)


def test_what_is_answered_is_not_repeated(own_redis: RedisServer) -> None:
    obedient = Obedient()
    with (
        FakeCloud(own_redis.url, obedient),
        Ears(own_redis.url) as ears,
        Load(own_redis.url, 7, Plan(rate=300, most_live=40), ears) as load,
    ):
        wait_until(lambda: len(load.asked) > 600, 30)
        load.stop()
        load.settle(30)
        assert load.due() == [], "what is looked at next does not change any more"
    statuses = times_published(load, "status")
    assert statuses[1] > 10 * (statuses.total() - statuses[1]), "one voice can only be told where it was asked once"
    for op in ("create", "remove"):
        often = times_published(load, op)
        assert often[1] > often[2] > 0


def test_what_is_not_answered_is_repeated(own_redis: RedisServer) -> None:
    obedient = Obedient()

    def hard_of_hearing(heard: Heard, before: int) -> Fields | None:
        return obedient(heard, before) if before >= 30 else None

    with (
        FakeCloud(own_redis.url, hard_of_hearing),
        Ears(own_redis.url) as ears,
        Load(own_redis.url, 7, Plan(rate=300, most=3, creates_only=True), ears) as load,
    ):
        wait_until(lambda: len(load.asked) == 3, 30)
        wait_until(lambda: all(len(asked.published) > 2 for asked in load.asked.values()), 30)
