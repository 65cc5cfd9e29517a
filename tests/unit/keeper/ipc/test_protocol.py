"""Lines, addresses, and requests that are refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.keeper.ipc import protocol, request_fields, server
from pycloud.keeper.ipc.protocol import LineError, LineSplitter, OperationRejected

SESSION = "0123456789abcdef0123"
START = {
    "session": SESSION,
    "script": "",
    "env": {},
    "hostname": "h",
    "cloud": "c",
    "sessions": 0,
    "record": {},
}


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


@given(
    st.dictionaries(
        st.text(),
        st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()),
    )
)
def test_no_request_is_more_than_refused(changes: dict[str, object]) -> None:
    for message in (changes, {**START, **changes}, {**START, "port_range": list(changes.values())}):
        try:
            request_fields.start_request(message)
        except OperationRejected as error:
            assert error.code == protocol.BAD_REQUEST


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session", "../../../../etc"),
        ("session", SESSION + "\n"),
        ("session", SESSION.upper().replace("0", "A")),
        ("script", None),
        ("env", {"A": 1}),
        ("sessions", True),
        ("port_range", [1]),
        ("port_range", [10, 9]),
        ("port_range", [0, 70000]),
        ("record", None),
    ],
)
def test_a_refusal_names_the_field(field: str, value: object) -> None:
    assert request_fields.start_request(START).session == SESSION
    with pytest.raises(OperationRejected, match=field):
        request_fields.start_request({**START, field: value})


@pytest.mark.parametrize("grace", [None, -1, True, "1", float("nan"), float("inf")])
def test_grace_is_a_number_of_seconds(grace: object) -> None:
    with pytest.raises(OperationRejected):
        request_fields.grace_of({"grace": grace})


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


def test_only_the_own_user_and_root_may_talk() -> None:
    assert server.is_allowed_uid(0, 1000)
    assert server.is_allowed_uid(1000, 1000)
    assert not server.is_allowed_uid(1001, 1000)
    assert not server.is_allowed_uid(1000, 0)


def test_the_umask_is_left_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        protocol.bind(tmp_path / "s").close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
