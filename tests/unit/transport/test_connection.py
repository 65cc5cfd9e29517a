"""What comes in over a connection to Redis, from bytes to messages."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import redis

from pycloud.transport.connection import READ_SIZE, ReplyReader

MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, ReplyReader]]:
    """The server's end, and what reads the other one."""
    server, own = socket.socketpair()
    with server, own:
        own.settimeout(10)
        yield server, ReplyReader(SimpleNamespace(_sock=own))


def test_all_that_is_there_is_read_at_once(ends: tuple[socket.socket, ReplyReader]) -> None:
    server, incoming = ends
    server.sendall(MESSAGE % (2, b"m1") + MESSAGE % (2, b"m2") + MESSAGE[:5])
    assert incoming.read() == [[b"message", b"c", b"m1"], [b"message", b"c", b"m2"]]
    server.sendall(MESSAGE[5:] % (2, b"m3"))
    assert incoming.read() == [[b"message", b"c", b"m3"]]


def test_what_is_large_comes_in_pieces(ends: tuple[socket.socket, ReplyReader]) -> None:
    server, incoming = ends
    large = b"x" * (3 * READ_SIZE)
    server.sendall(MESSAGE % (len(large), large))
    read: list[object] = []
    while not read:
        read = incoming.read()
    assert read == [[b"message", b"c", large]]


@pytest.mark.parametrize(
    ("said", "error"),
    [(b"-LOADING not yet\r\n", redis.ResponseError), (b"HTTP/1.1 400\r\n", redis.InvalidResponse)],
)
def test_what_is_no_message_is_an_error(
    ends: tuple[socket.socket, ReplyReader], said: bytes, error: type[redis.RedisError]
) -> None:
    ends[0].sendall(said)
    with pytest.raises(error):
        ends[1].read()


def test_a_closed_connection_is_an_error(ends: tuple[socket.socket, ReplyReader]) -> None:
    ends[0].close()
    with pytest.raises(redis.ConnectionError):
        ends[1].read()
