"""Redis URLs: their parts, and that no password is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.redis_url import hide_password, parse_redis_url


def test_parse_redis_url() -> None:
    parts = parse_redis_url("rediss://me:p%40ss@example.net:7000/0")
    assert (parts.host, parts.port, parts.username, parts.password) == ("example.net", 7000, "me", "p@ss")
    assert "p@ss" not in repr(parts)
    assert parse_redis_url("redis://").host == "localhost"
    assert parse_redis_url("redis://[::1]:1").host == "::1"
    assert parse_redis_url("unix:///run/r.sock?password=x").path == "/run/r.sock"
    assert parse_redis_url("unix:///run/r.sock?password=x").password == "x"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
        ("rediss://me:secret@h", "rediss://me:***@h"),
        ("redis://:se@cr/e#t@h/0", "redis://:***@h/0"),
        ("unix:///s?password=secret&db=0", "unix:///s?password=***&db=0"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
    ],
)
def test_hide_password(url: str, shown: str) -> None:
    assert hide_password(url) == shown


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=1))
def test_no_password_is_ever_shown(password: str) -> None:
    shown = hide_password(f"redis://me:{password}@h/0")
    assert shown == "redis://me:***@h/0"
