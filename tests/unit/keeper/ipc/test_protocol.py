"""Lines, and sockets at addresses of any length."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.keeper.ipc import protocol
from pycloud.keeper.ipc.protocol import LineError, LineSplitter


@given(st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=9), min_size=1), max_size=6), st.data())
def test_lines_survive_any_cutting(messages: list[dict[str, str]], draw: st.DataObject) -> None:
    data = b"".join(map(protocol.encode, messages))
    lines, found = LineSplitter(), []
    while data:
        size = draw.draw(st.integers(1, len(data)))
        found += lines.feed(data[:size])
        data = data[size:]
    assert [protocol.decode(line) for line in found] == messages


def test_a_line_without_end_is_refused() -> None:
    lines = LineSplitter(max_size=10)
    assert lines.feed(b"123456789\n1234") == [b"123456789"]
    with pytest.raises(LineError):
        lines.feed(b"5678901")


@pytest.mark.parametrize("line", [b"x", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"a":'])
def test_what_is_no_message(line: bytes) -> None:
    with pytest.raises(LineError):
        protocol.decode(line)


@pytest.mark.parametrize("length", [20, 107, 108, 200])
def test_any_path_can_be_bound_and_reached(tmp_path: Path, length: int) -> None:
    path = tmp_path / "s"
    while len(str(path)) < length:
        path = path.parent / ("d" * min(50, max(1, length - len(str(path)) - 1))) / "s"
    path.parent.mkdir(parents=True, exist_ok=True)
    with protocol.bind(path) as listener, protocol.connect(path, 5) as client:
        peer, _ = listener.accept()
        with peer:
            client.sendall(b"x")
            assert peer.recv(1) == b"x"
        assert path.stat().st_mode & 0o777 == 0o600
    with protocol.bind(path):  # what the first one left is stale
        pass


def test_a_socket_in_use_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with protocol.bind(path), pytest.raises(OSError, match="another process listens"):
        protocol.bind(path)


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(OSError):
        protocol.bind(path)
    assert path.read_text() == "mine"


def test_nobody_there_is_refused_and_leaks_nothing(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        protocol.connect(tmp_path / ("x" * 50) / "s")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "s"))
    with pytest.raises(ConnectionRefusedError):
        protocol.connect(tmp_path / "s")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_umask_is_left_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        protocol.bind(tmp_path / "s").close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
