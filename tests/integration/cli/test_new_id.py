"""``--new-id``: a copied data directory becomes a cloud of its own, and nothing of the original is lost or ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.daemon_command_line import CommandLine, command_line
from tests.support.keeper import keeper
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester

DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as made:
        yield made


def test_a_copy_becomes_a_cloud_of_its_own(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, cli: CommandLine
) -> None:
    original, copy = daemon_on(shared_redis).start(), daemon_on(shared_redis)
    requester = requester_on(shared_redis)
    created = requester.create("exec sleep 1000")
    shutil.copytree(original.data, copy.data, ignore=shutil.ignore_patterns("*.sock"))
    old = original.cloud
    done = cli.run("--new-id", "--data-dir", str(copy.data))
    aside = copy.data / f"before-new-id-{old}"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"the node's id was {old} and is now {copy.cloud}; the files of {old} are in {aside}\n"
    assert copy.cloud != old
    assert sorted(path.name for path in aside.iterdir()) == ["logs", "state", "work"]
    assert (aside / "state" / f"{created['id']}.journal").exists()
    copy.start()
    assert requester.status(created["id"]) | {"cloud": old, "status": True} == requester.status(created["id"])
    assert list(original.sessions()) == [created["id"]]
    assert copy.sessions() == {}


def test_what_is_in_use_is_refused(cli: CommandLine) -> None:
    pid = cli.start()
    (cli.data / "cloud-id").write_text("0123456789\n")
    done = cli.run("--new-id")
    assert done.returncode == 1
    assert f"another pycloud (pid {pid}) uses the data directory {cli.data}" in done.stderr
    assert cli.run("--stop").returncode == 0
    with keeper(cli.data):
        done = cli.run("--new-id")
    assert done.returncode == 1
    assert done.stderr.startswith(f"pycloud: a keeper supervises sessions in {cli.data}: end its sessions first")
    assert (cli.data / "cloud-id").read_text() == "0123456789\n"
    assert not list(cli.data.glob("before-*"))


def test_nothing_is_ever_overwritten(cli: CommandLine) -> None:
    aside = cli.data / "before-new-id-0123456789"
    for directory in (cli.data / "work", cli.data / "logs", aside / "work"):
        directory.mkdir(parents=True)
    (cli.data / "cloud-id").write_text("0123456789\n")
    assert cli.run("--new-id").returncode == 0
    assert sorted(str(path.relative_to(cli.data)) for path in cli.data.glob("before-*/*")) == [
        "before-new-id-0123456789-2/logs",
        "before-new-id-0123456789-2/work",
        "before-new-id-0123456789/work",
    ]


def test_no_cloud_no_new_id(cli: CommandLine) -> None:
    done = cli.run("--new-id")
    assert done.returncode == 1
    assert "holds no node yet" in done.stderr
    assert not cli.data.exists()
