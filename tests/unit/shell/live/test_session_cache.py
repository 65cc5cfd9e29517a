"""The sessions that the prompt knows of."""

from __future__ import annotations

import msgspec

from pycloud.client.records import SessionRecord
from pycloud.shell.live.session_cache import SessionCache

NODE = "cccccccccc"


def test_the_cache_keeps_what_is_there() -> None:
    one, two = (SessionRecord(NODE, letter * 20, True, "running") for letter in "ab")
    cache = SessionCache()
    assert cache.sync_ids([one.id, two.id]) == [one.id, two.id]
    cache.update([one.id, two.id], [one, two])
    cache.update([two.id], [msgspec.structs.replace(two, status=False, state="exited")])
    assert cache.snapshot().live_by_node == {NODE: 1}
    assert cache.snapshot().ended_words == (two.id,)
    cache.update([one.id], [])
    assert cache.sync_ids([two.id]) == []
    assert list(cache.snapshot().records) == [two.id]
