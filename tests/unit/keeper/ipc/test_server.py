"""Who may talk to a keeper."""

from __future__ import annotations

from pycloud.keeper.ipc import server


def test_only_the_own_user_and_root_may_talk() -> None:
    assert server.is_allowed_uid(0, 1000)
    assert server.is_allowed_uid(1000, 1000)
    assert not server.is_allowed_uid(1001, 1000)
    assert not server.is_allowed_uid(1000, 0)
