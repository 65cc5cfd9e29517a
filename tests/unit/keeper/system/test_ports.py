"""Ports: free for TCP and UDP, and never the same one twice."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pycloud.keeper.system import ports
from pycloud.keeper.system.ports import NoPortError
from tests.support.ports import free_port
from tests.support.requirements import loopback
from tests.support.waiting import wait_until


@pytest.fixture
def held() -> Iterator[list[int]]:
    """Descriptors that are closed at the end."""
    fds: list[int] = []
    yield fds
    for fd in fds:
        os.close(fd)


def pick(directory: Path, held: list[int], bounds: tuple[int, int] | None = None, taken: tuple[int, ...] = ()) -> int:
    port, lock = ports.choose(directory, bounds, taken)
    held.append(lock)
    return port


def test_two_choosers_never_give_one_port(tmp_path: Path, held: list[int]) -> None:
    low = free_port()
    bounds = (low, low + 9)
    got = []
    with pytest.raises(NoPortError, match=f"{bounds[0]} to {bounds[1]}"):
        for _ in range(100):
            got.append(pick(tmp_path, held, bounds))
    assert len(got) == len(set(got)) >= 1


def test_the_systems_choice_is_never_given_twice(tmp_path: Path, held: list[int]) -> None:
    got = [pick(tmp_path, held) for _ in range(100)]
    assert len(set(got)) == 100


def test_a_lock_that_is_let_go_can_be_had_again(tmp_path: Path, held: list[int]) -> None:
    port = free_port()
    first, lock = ports.choose(tmp_path, (port, port), ())
    with pytest.raises(NoPortError):
        ports.choose(tmp_path, (port, port), ())
    os.close(lock)
    assert pick(tmp_path, held, (port, port)) == first


def hold(family: socket.AddressFamily, kind: socket.SocketKind) -> tuple[socket.socket, int]:
    """A socket bound to a port, and that port: nobody else can have it while it is open."""
    while True:
        user, port = socket.socket(family, kind), free_port()
        try:
            user.bind((loopback(family), port))
        except OSError as error:  # other tests on this machine look for ports, too
            user.close()
            assert error.errno == errno.EADDRINUSE
        else:
            return user, port


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_in_use_is_skipped(
    tmp_path: Path, held: list[int], family: socket.AddressFamily, kind: socket.SocketKind
) -> None:
    def can_be_had_again() -> bool:
        """Unless somebody else was faster."""
        user, port = hold(family, kind)
        with user:
            assert not ports.is_free(port)
            with pytest.raises(NoPortError):
                ports.choose(tmp_path, (port, port), ())
        with suppress(NoPortError):
            return pick(tmp_path, held, (port, port)) == port
        return False

    wait_until(can_be_had_again)


def test_a_port_of_our_own_is_skipped(tmp_path: Path, held: list[int]) -> None:
    port = free_port()
    with pytest.raises(NoPortError):
        ports.choose(tmp_path, (port, port), (port,))


def test_somebody_elses_link_is_not_followed(tmp_path: Path) -> None:
    port = free_port()
    victim = tmp_path / "victim"
    (tmp_path / str(port)).symlink_to(victim)
    with pytest.raises(NoPortError):
        ports.choose(tmp_path, (port, port), ())
    assert not victim.exists()


def test_the_directory_is_for_all_users(tmp_path: Path, held: list[int]) -> None:
    directory = tmp_path / "ports"
    pick(directory, held)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o1777
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o644}


def test_failing_leaves_no_descriptor_open(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as user:
        user.bind(("", port))
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(NoPortError):
            ports.choose(tmp_path, (port, port), ())
        assert len(list(Path("/proc/self/fd").iterdir())) == before
