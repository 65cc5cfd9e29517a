"""Redis URLs: their parts, and that no password is ever shown."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from pycloud.transport.url import check_database, hide_password, parse_redis_url


def test_parse_redis_url() -> None:
    parts = parse_redis_url("rediss://me:p%40ss@example.net:7000/0")
    assert (parts.host, parts.port, parts.username, parts.password) == ("example.net", 7000, "me", "p@ss")
    assert "p@ss" not in repr(parts)
    assert parse_redis_url("redis://").host == "localhost"
    assert parse_redis_url("redis://[::1]:1").host == "::1"
    assert parse_redis_url("unix:///run/r.sock?password=x").path == "/run/r.sock"
    assert parse_redis_url("unix:///run/r.sock?password=x").password == "x"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            "redis://h?decode_responses=True",
            "'decode_responses' of the Redis URL is not supported; these are: db, user",
        ),
        ("redis://h?protocol=3", "'protocol' of the Redis URL is not supported"),
        ("redis://h?retry_on_timeout=yes", "'retry_on_timeout' of the Redis URL is not supported"),
        ("redis://h?socket_timeout=abc", "'socket_timeout' of the Redis URL is not supported"),
        ("redis://h?health_check_interval=", "'health_check_interval' of the Redis URL is not supported"),
        ("redis://h?db=1&db=2", "'db' of the Redis URL must have one value"),
        ("redis://h?password=", "'password' of the Redis URL must have one value"),
        ("redis://h?ssl_ca_certs=/ca.pem", "'ssl_ca_certs' of the Redis URL needs rediss://"),
        ("rediss://h?ssl_cert_reqs=secret", "'ssl_cert_reqs' of the Redis URL must be one of none, optional, required"),
        ("rediss://h?ssl_check_hostname=1", "'ssl_check_hostname' of the Redis URL must be one of true, false"),
    ],
)
def test_options_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_redis_url(url)
    assert "secret" not in str(caught.value)


def test_options_that_are_taken_are_understood_by_the_library_too() -> None:
    options = "username=me&password=p%40ss&db=2&ssl_ca_certs=/ca.pem&ssl_cert_reqs=none&ssl_check_hostname=false"
    parts = parse_redis_url(f"rediss://h?{options}")
    assert (parts.username, parts.password, parts.database) == ("me", "p@ss", 2)
    connection: Any = redis.ConnectionPool.from_url(f"rediss://h?{options}").make_connection()
    assert (connection.username, connection.password, connection.db) == ("me", "p@ss", 2)
    assert (connection.ca_certs, connection.check_hostname) == ("/ca.pem", False)


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


def test_a_database_of_its_own_needs_a_namespace_of_its_own() -> None:
    check_database("redis://localhost/0", "year4000.pycloud")
    check_database("redis://localhost/3", "mine")
    with pytest.raises(ValueError, match="database 3"):
        check_database("redis://localhost/3", "year4000.pycloud")
