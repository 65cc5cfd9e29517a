"""What a test needs of the machine it runs on. Locally a test without it is skipped, under CI=true it fails."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

#: Bit of the capability to mount in a mask of capabilities.
CAN_MOUNT = 1 << 21


def missing(reason: str) -> NoReturn:
    """End the test that runs now: where nothing may be skipped it fails, elsewhere it is skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI skips nothing")
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program."""
    return shutil.which(name) or missing(f"no {name} on this machine")


def mount(folder: Path, size: str) -> None:
    """Mount an empty file system of ``size`` (as in "2m") there; the caller unmounts it.

    A container that was not given the right to mount can never do it, so the test is skipped there, CI or not.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return
    if not _capabilities() & CAN_MOUNT:
        pytest.skip("this process has no right to mount")
    missing(f"cannot mount: {done.stderr.strip()}")


def loopback(family: socket.AddressFamily) -> str:
    """This machine's own address in a family. A kernel that was told to have no IPv6 cannot have it, CI or not."""
    if family != socket.AF_INET6:
        return "127.0.0.1"
    known = Path("/proc/net/if_inet6")
    if not known.exists() or not known.read_text():
        pytest.skip("this kernel has no IPv6")
    return "::1"


def _capabilities() -> int:
    """The effective capabilities of this process, as a mask."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
