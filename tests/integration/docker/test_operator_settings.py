"""What the operator's settings file opens and closes, as the engine gets to see it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pycloud.runtimes.docker.spec.policy import ALWAYS_ALLOWED
from tests.support.daemon import Daemon
from tests.support.docker_runtime import Host
from tests.support.engine import Engine
from tests.support.requester import Requester
from tests.support.waiting import wait_until

DockerOn = Callable[..., Daemon]

SETTINGS = """
[docker]
allow = ["cap_add"]
volumes = ["{home}/maps:ro", "{home}/worlds", "shared:ro"]
images = ["box", "web:latest"]
network = "{network}"
defaults = {{ mem_limit = "64m", environment = {{ FROM = "defaults" }} }}
"""


@pytest.fixture
def network(engine: Engine) -> Iterator[str]:
    name = "games-" + secrets.token_hex(4)
    engine.docker("network", "create", "--internal", name)
    yield name
    engine.clear()
    engine.docker("network", "rm", name)


@pytest.fixture
def cloud(engine: Engine, docker_on: DockerOn, tmp_path: Path, network: str) -> Iterator[Daemon]:
    home = tmp_path / "srv"
    for folder in ("maps/castle", "worlds", "secret"):
        (home / folder).mkdir(parents=True)
    (home / "maps/castle/size").write_text("large")
    (home / "secret/key").write_text("secret")
    (home / "maps/out").symlink_to("../secret")
    (home / "maps/in").symlink_to("castle")
    file = tmp_path / "pycloud.toml"
    file.write_text(SETTINGS.format(home=home, network=network))
    with docker_on(engine, config=file) as made:
        yield made
    engine.clear()
    engine.docker("volume", "rm", "shared", check=False)


def asked(requester: Requester, image: str, **options: Any) -> dict[str, Any]:
    """The answer to a create."""
    return requester.create(f"{image}\n{json.dumps(options)}")


def test_a_settings_file(engine: Engine, cloud: Daemon, requester: Requester, tmp_path: Path, network: str) -> None:
    home = tmp_path / "srv"
    mounts = [f"{home}/maps/in:/maps:ro", f"{home}/worlds:/worlds", "shared:/shared:ro", "/own"]
    copy = "cat /maps/size > /worlds/copy; echo more > /maps/more || touch /worlds/refused; exec sleep 1000"
    made = asked(requester, "box", volumes=mounts, cap_add=["SYS_TIME"], command=["sh", "-c", copy])
    found = engine.inspect(f"pycloud_{made['id']}")
    wait_until(lambda: (home / "worlds/refused").exists())
    assert (home / "worlds/copy").read_text() == "large"
    assert not (home / "maps/castle/more").exists()
    places = {each["Destination"]: each["Source"] for each in found["Mounts"] if each["Type"] == "bind"}
    assert places == {"/maps": f"{home}/maps/castle", "/worlds": f"{home}/worlds"}
    host = found["HostConfig"]
    assert (host["CapAdd"], host["Memory"], host["NetworkMode"]) == (["SYS_TIME"], 64 << 20, network)
    assert list(found["NetworkSettings"]["Networks"]) == [network]
    assert "FROM=defaults" in found["Config"]["Env"]
    other = asked(requester, "web:latest", mem_limit="32m", network="none")
    host = engine.inspect(f"pycloud_{other['id']}")["HostConfig"]
    assert (host["Memory"], host["NetworkMode"]) == (32 << 20, "none")


def test_what_the_settings_file_leaves_closed(
    engine: Engine, cloud: Daemon, requester: Requester, tmp_path: Path
) -> None:
    home = tmp_path / "srv"
    closed: list[tuple[str, dict[str, Any]]] = [
        ("polite", {}),
        ("web:other", {}),
        ("box", {"privileged": True}),
        ("box", {"network": "bridge"}),
        ("box", {"network": "host"}),
        ("box", {"volumes": ["other:/x"]}),
        ("box", {"volumes": ["shared:/x"]}),
        *[("box", {"volumes": [f"{home}/{path}:/x:ro"]}) for path in ("secret", "maps/out", "maps/../secret", "")],
        *[("box", {"volumes": [f"{home}/{path}:/x"]}) for path in ("maps", "maps/castle", "worlds/../maps")],
        ("box", {"mounts": [{"type": "bind", "source": f"{home}/maps/out", "target": "/x", "read_only": True}]}),
        ("box", {"mounts": [{"type": "volume", "source": "other", "target": "/x"}]}),
    ]
    for image, options in closed:
        answer = asked(requester, image, **options)
        assert answer.get("error", {}).get("code") == "not_allowed", (image, options, answer)
    assert engine.containers() == []
    assert "other" not in engine.volumes()


#: A value for each option that is open to everybody.
OPEN: dict[str, Any] = {
    "port": [80, "81/udp"],
    "stop_grace": 5,
    "stop_signal": "SIGKILL",
    "command": ["sleep", "1000"],
    "entrypoint": [],
    "environment": {"A": "b"},
    "user": 0,
    "labels": {"a": "b"},
    "hostname": "own",
    "domainname": "example.net",
    "extra_hosts": {"gate": "host-gateway", "db": "10.0.0.7"},
    "dns": ["10.0.0.1"],
    "dns_opt": ["ndots:1"],
    "dns_search": ["example.net"],
    "network_disabled": False,
    "mem_limit": "64m",
    "mem_reservation": "32m",
    "memswap_limit": -1,
    "mem_swappiness": None,
    "shm_size": "8m",
    "pids_limit": 100,
    "nano_cpus": 500_000_000,
    "cpu_period": None,
    "cpu_quota": None,
    "cpu_shares": 512,
    "cpu_count": 1,
    "cpu_percent": None,
    "cpuset_cpus": "0",
    "cpuset_mems": "0",
    "platform": None,
    "init": False,
    "read_only": True,
    "cap_drop": ["ALL"],
    "tty": True,
    "stdin_open": True,
}
#: What is the same for every session, as the engine has it.
BORDER = (
    *("Binds", "CapAdd", "Devices", "DeviceCgroupRules", "DeviceRequests", "GroupAdd", "IpcMode", "Links", "LogConfig"),
    *("NetworkMode", "OomScoreAdj", "PidMode", "Privileged", "PublishAllPorts", "RestartPolicy", "Runtime"),
    *("SecurityOpt", "StorageOpt", "Sysctls", "Ulimits", "UTSMode", "UsernsMode", "VolumesFrom", "VolumeDriver"),
    *("CgroupParent", "CgroupnsMode", "MaskedPaths", "ReadonlyPaths", "AutoRemove", "ContainerIDFile", "Mounts"),
)


def test_all_that_is_open_at_once_crosses_no_border(engine: Engine, host_on: Callable[..., Host]) -> None:
    assert set(OPEN) == ALWAYS_ALLOWED
    host = host_on(engine)
    plain, full = host.start("box"), host.start("box", working_dir="/tmp", **OPEN)
    borders = [
        {name: engine.inspect(f"pycloud_{each}")["HostConfig"].get(name) for name in BORDER} for each in (plain, full)
    ]
    assert borders[0] == borders[1]
    assert borders[0]["Privileged"] is False
    assert all(not borders[0][name] for name in ("Binds", "CapAdd", "Devices", "PidMode", "SecurityOpt", "UTSMode"))
    bound = engine.inspect(f"pycloud_{full}")["HostConfig"]["PortBindings"]
    assert bound == {port: [{"HostIp": "", "HostPort": ""}] for port in ("80/tcp", "81/udp")}
