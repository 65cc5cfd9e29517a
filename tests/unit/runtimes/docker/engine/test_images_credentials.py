"""Where logins come from: the engine's usual file, and programs that it names, which may hang."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from docker.errors import DockerException

from pycloud.runtimes.docker.engine import images
from pycloud.runtimes.docker.engine.images import credentials_of
from tests.support.waiting import wait_until

Login = Callable[..., None]
IMAGE = "registry.example/team/app:1"


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Login:
    """Writes the file, and the program ``docker-credential-test``, which is a shell script."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(program: str | None = None, **config: Any) -> None:
        (tmp_path / "config.json").write_text(json.dumps(config))
        if program is not None:
            path = tmp_path / "docker-credential-test"
            path.write_text(f"#!/bin/sh\ncd '{tmp_path}'\n{program}\n")
            path.chmod(0o755)

    return write


def test_a_program_is_asked_for_the_registry(login: Login, tmp_path: Path) -> None:
    says = """echo "$1 $(cat)" >> asked; echo '{"Username": "me", "Secret": "s3cret"}'"""
    login(says, credHelpers={"registry.example": "test"})
    found = {"ServerAddress": "registry.example", "Username": "me", "Password": "s3cret"}
    assert credentials_of(IMAGE) == found
    assert credentials_of("other.example/x") == {}
    login(says, credsStore="test")
    hub = "https://index.docker.io/v1/"
    assert credentials_of("docker.io/year4000/pycloud:latest") == {**found, "ServerAddress": hub}
    assert (tmp_path / "asked").read_text() == f"get registry.example\nget {hub}\n"


def test_a_token_is_no_password(login: Login) -> None:
    login("""echo '{"Username": "<token>", "Secret": "t0ken"}'""", credsStore="test")
    assert credentials_of(IMAGE) == {"ServerAddress": "registry.example", "IdentityToken": "t0ken"}


@pytest.mark.parametrize(
    "says", ["echo credentials not found in native keychain; exit 1", """echo '{"Username": "", "Secret": ""}'"""]
)
def test_where_a_program_has_nothing_the_file_counts(login: Login, says: str) -> None:
    login(says, credsStore="test")
    assert credentials_of(IMAGE) == {}
    login(says, credsStore="test", auths={"registry.example": {"auth": base64.b64encode(b"me:s3cret").decode()}})
    found = credentials_of(IMAGE)
    assert (found["username"], found["password"]) == ("me", "s3cret")


@pytest.mark.parametrize(
    ("says", "said"),
    [("echo it is locked; exit 3", "exited with 3: it is locked"), ("echo []", "returned invalid credentials")],
)
def test_a_program_that_fails(login: Login, says: str, said: str) -> None:
    login(says, credsStore="test")
    with pytest.raises(DockerException, match=said):
        credentials_of(IMAGE)


def test_a_program_that_hangs_is_ended_with_its_children(
    login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "CREDENTIALS_TIMEOUT", 0.5)
    login("echo $$ > pids; sleep 1000 & echo $! >> pids; wait", credsStore="test")
    with pytest.raises(DockerException, match=r"docker-credential-test took longer than 0\.5 s"):
        credentials_of(IMAGE)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    wait_until(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
