"""What the engine is told to create, and how what it says of a container is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import docker.types
import pytest
from docker.models import containers
from hypothesis import given
from hypothesis import strategies as st

from pycloud.config import Config
from pycloud.errors import BadRequest, NotAllowed
from pycloud.protocol.container_spec import parse
from pycloud.runtimes import Exit, SessionSpec, Started
from pycloud.runtimes.docker.spec.container import (
    CREATE_OPTIONS,
    DERIVED_OPTIONS,
    ContainerConfig,
    build_container_config,
    declared_ports,
    exit_of,
    ports_of,
    started_of,
)
from pycloud.runtimes.docker.spec.options import MAX_ENVIRONMENT_BYTES, OPTIONS
from pycloud.runtimes.docker.spec.policy import Policy
from tests.unit.runtimes.docker.spec.test_options import anything
from tests.unit.runtimes.docker.spec.test_policy import CROSSING

RECORD = {"request": "req", "token": "t", "created": 1.5}
NEVER = "0001-01-01T00:00:00Z"


def policy_of(**fields: Any) -> Policy:
    """The policy of these settings."""
    return Policy.from_config(Config(data_dir=Path("/d"), run_dir=Path("/r"), hostname="h", **fields))


def made(
    options: dict[str, Any],
    policy: Policy | None = None,
    env: dict[str, str] | None = None,
    record: dict[str, Any] = RECORD,
) -> ContainerConfig:
    """What is created for an image script with ``options``."""
    script = "year4000/pycloud\n" + json.dumps(options)
    order = SessionSpec("5e55", script, env or {}, 1, record, "docker")
    return build_container_config(parse(script), order, policy or Policy(), "c10d", "host.example", 4096)


def engines(creation: ContainerConfig) -> dict[str, Any]:
    """The body of the call that docker-py makes of it."""
    kwargs = dict(creation.kwargs)
    host = docker.types.HostConfig(version="1.41", **kwargs.pop("host_config"))
    assert kwargs.pop("use_config_proxy") in (True, False)
    kwargs.pop("platform", None)
    return dict(
        docker.types.ContainerConfig("1.41", creation.image, kwargs.pop("command", None), host_config=host, **kwargs)
    )


def test_the_example_of_the_readme() -> None:
    created = made({"port": 80}, env={"A": "b"})
    assert (created.image, created.name) == ("docker.io/year4000/pycloud:latest", "pycloud_5e55")
    assert (created.ports, created.stop_grace) == (("80/tcp",), None)
    body = engines(created)
    assert body["ExposedPorts"] == {"80/tcp": {}}
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": ""}]}
    assert body["HostConfig"]["NetworkMode"] == "default"
    assert body["HostConfig"]["LogConfig"]["Config"] == {"max-size": "4096", "max-file": "2"}
    assert not body["AttachStdout"]
    assert sorted(body["Env"]) == [
        *("A=b", "PYCLOUD_CLOUD=c10d", "PYCLOUD_HOSTNAME=host.example", "PYCLOUD_PORT=80", "PYCLOUD_SESSION=5e55")
    ]
    labels = dict(body["Labels"])
    assert json.loads(labels.pop("pycloud.record")) == RECORD
    assert labels == {
        "pycloud.cloud": "c10d",
        "pycloud.session": "5e55",
        "pycloud.request": "req",
        "pycloud.port": "80/tcp",
    }


def test_name_and_labels_of_a_session_are_labels_of_its_container() -> None:
    record = {**RECORD, "name": "web", "labels": {"app": "shop", "tier": ""}}
    labels = made({}, record=record).kwargs["labels"]
    assert json.loads(labels["pycloud.record"]) == record
    shown = {name: value for name, value in labels.items() if name.startswith(("pycloud.name", "pycloud.label"))}
    assert shown == {"pycloud.name": "web", "pycloud.label.app": "shop", "pycloud.label.tier": ""}


def test_without_ports_there_is_no_port() -> None:
    created = made({})
    assert created.ports == ()
    assert "PYCLOUD_PORT" not in created.kwargs["environment"]
    assert created.kwargs["labels"]["pycloud.port"] == ""
    assert "PortBindings" not in engines(created)["HostConfig"]


def test_several_ports_in_their_order() -> None:
    created = made({"port": [9000, "53/udp"], "ports": {"80": None, "9000/tcp": None}})
    assert created.ports == ("9000/tcp", "53/udp", "80/tcp")
    assert set(engines(created)["HostConfig"]["PortBindings"]) == {"9000/tcp", "53/udp", "80/tcp"}
    assert created.kwargs["environment"]["PYCLOUD_PORT"] == "9000"


def test_each_layer_of_the_environment_wins_over_the_one_below() -> None:
    policy = policy_of(
        docker_defaults={"environment": {"A": "default", "B": "default", "C": "default", "D": "default"}}
    )
    created = made({"environment": ["B=option", "C=option", "D"]}, policy, {"C": "request"})
    environment = created.kwargs["environment"]
    assert {name: environment[name] for name in "ABCD"} == {"A": "default", "B": "option", "C": "request", "D": None}
    assert "D" in engines(created)["Env"]  # which takes the image's away


def test_all_that_the_environment_comes_from_counts() -> None:
    """No part of it is too large, and no variable is longer than the kernel lets one be."""
    half = "x" * (MAX_ENVIRONMENT_BYTES // 2 - 200)
    made({"environment": {"A": half}}, env={"B": half})
    with pytest.raises(BadRequest, match="`environment` and `env`"):
        made({"environment": {"A": half}}, policy_of(docker_defaults={"environment": {"C": "x" * 400}}), {"B": half})
    with pytest.raises(BadRequest, match="`environment` and `env`"):
        made({}, env={"A": "x" * MAX_ENVIRONMENT_BYTES})


def test_a_request_is_laid_over_the_defaults() -> None:
    defaults = {
        "labels": {"a": "1", "b": "1"},
        "mem_limit": "1g",
        "pids_limit": 5,
        "network": "games",
        "cap_add": ["CHOWN"],
        "volumes": ["/srv/a:/a", "/srv/b:/b"],
        "command": ["x"],
    }
    policy = policy_of(docker_defaults=defaults)
    body = engines(made({"labels": {"b": "2"}, "mem_limit": "2g", "volumes": ["/b"], "network_mode": "none"}, policy))
    assert (body["Labels"]["a"], body["Labels"]["b"]) == ("1", "2")
    host = body["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NetworkMode"], host["CapAdd"]) == (2 << 30, 5, "none", ["CHOWN"])
    assert (host["Binds"], body["Volumes"], body["Cmd"]) == (["/srv/a:/a:rw"], {"/b": {}}, ["x"])


def test_the_network_of_the_settings_is_joined_unless_another_one_is_asked_for() -> None:
    policy = policy_of(docker_network="games")
    assert engines(made({"port": 1}, policy))["HostConfig"]["NetworkMode"] == "games"
    assert engines(made({"network": "none"}, policy))["HostConfig"]["NetworkMode"] == "none"
    with pytest.raises(NotAllowed, match="bridge"):
        made({"network": "bridge"}, policy)
    opened = policy_of(docker_allow=("network", "networking_config"))
    endpoints = {"other": {"Aliases": ["db"]}}
    body = engines(made({"network": "other", "networking_config": endpoints}, opened))
    assert (body["HostConfig"]["NetworkMode"], body["NetworkingConfig"]["EndpointsConfig"]) == ("other", endpoints)


@pytest.mark.parametrize("options", [{"network": "none"}, {"network_mode": "none"}, {"network_disabled": True}])
def test_a_port_without_a_network_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="without a network"):
        made({"port": 80, **options})


def test_a_port_in_the_hosts_network_is_refused() -> None:
    with pytest.raises(BadRequest, match="leave it out"):
        made({"port": 80}, policy_of(docker_network="host"))
    assert engines(made({}, policy_of(docker_network="host")))["HostConfig"]["NetworkMode"] == "host"


def test_grace_and_signal_are_the_sessions_own() -> None:
    created = made({"stop_grace": 2.5, "stop_signal": "SIGINT"})
    body = engines(created)
    assert (created.stop_grace, body["StopTimeout"], body["StopSignal"]) == (2.5, 3, "2")


def test_every_option_has_its_place_in_docker_pys_call() -> None:
    rest = set(OPTIONS) - CREATE_OPTIONS - DERIVED_OPTIONS
    assert rest <= {*containers.RUN_HOST_CONFIG_KWARGS, "memswap_limit"}
    assert set(containers.RUN_CREATE_KWARGS) - CREATE_OPTIONS - DERIVED_OPTIONS == {"detach", "image", "name"}
    assert set(OPTIONS) >= CREATE_OPTIONS | DERIVED_OPTIONS


@pytest.mark.parametrize("name", sorted(set(CROSSING) - {"networking_config", "isolation", "use_config_proxy"}))
def test_what_is_opened_reaches_the_engine(name: str) -> None:
    policy = policy_of(docker_allow=tuple(CROSSING))
    assert engines(made({name: CROSSING[name]}, policy)) != engines(made({}, policy))


def test_refusals_of_options_and_images() -> None:
    with pytest.raises(NotAllowed, match="privileged"):
        made({"privileged": True})
    with pytest.raises(NotAllowed, match=r"docker\.images"):
        made({}, policy_of(docker_images=("nginx",)))
    with pytest.raises(BadRequest, match="`name` belongs to PyCloud"):
        made({"name": "x"})


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), anything, max_size=3), st.booleans())
def test_any_options_come_to_a_call_or_a_refusal(options: dict[str, Any], opened: bool) -> None:
    try:
        created = made(options, policy_of(docker_allow=tuple(OPTIONS) if opened else ()))
    except (BadRequest, NotAllowed):
        return
    json.dumps(engines(created))
    assert created.kwargs["labels"]["pycloud.session"] == "5e55"
    assert created.kwargs["environment"]["PYCLOUD_SESSION"] == "5e55"
    assert not opened or created.kwargs["detach"] is True


def inspected(**state: Any) -> dict[str, Any]:
    """What the engine says of a container that ran for a while."""
    times = {"StartedAt": "2024-05-01T12:00:00.123456789Z", "FinishedAt": "2024-05-01T12:00:01Z"}
    return {
        "State": {"Running": False, "ExitCode": 0, "Error": "", **times, **state},
        "Config": {"Labels": {"pycloud.port": "80/tcp"}},
        "HostConfig": {"PortBindings": {"53/udp": [{}], "80/tcp": [{}]}},
        "NetworkSettings": {
            "Ports": {
                "80/tcp": [{"HostIp": "::", "HostPort": "32769"}, {"HostIp": "0.0.0.0", "HostPort": "32768"}],
                "53/udp": [{"HostIp": "::", "HostPort": "32770"}],
                "99/tcp": None,
            }
        },
    }


def test_ports_are_those_of_ipv4_in_the_order_in_which_they_were_declared() -> None:
    assert declared_ports(inspected()) == ("80/tcp", "53/udp")
    assert ports_of(inspected(), ("80/tcp", "53/udp", "99/tcp")) == (32768, {"80/tcp": 32768, "53/udp": 32770})
    assert ports_of({}, ("80/tcp",)) == (None, {})
    assert ports_of({"NetworkSettings": {"Ports": {}}}, ("80/tcp",)) == (None, {})


def test_times_are_unix_seconds() -> None:
    assert started_of(inspected()) == Started(32768, 1714564800.1234567, {"80/tcp": 32768, "53/udp": 32770})
    moved = started_of(inspected(StartedAt="2024-05-01T14:00:00.5+02:00"))
    assert moved is not None
    assert moved.started == 1714564800.5
    assert started_of(inspected(StartedAt=NEVER)) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, Exit(0, None, 1714564801.0)),
        ({"ExitCode": 3}, Exit(3, None, 1714564801.0)),
        ({"ExitCode": 137, "OOMKilled": True}, Exit(137, "out of memory", 1714564801.0)),
        ({"OOMKilled": True}, Exit(0, "a process in it was killed: out of memory", 1714564801.0)),
        ({"ExitCode": 255, "Error": "lost"}, Exit(255, "lost", 1714564801.0)),
        ({"FinishedAt": NEVER}, Exit(0, None, 1714564800.1234567)),
        ({"ExitCode": None}, Exit(None, None, 1714564801.0)),
        ({"Running": True}, None),
        ({"Running": True, "Paused": True}, None),
        ({"StartedAt": NEVER, "FinishedAt": NEVER, "ExitCode": 127, "Error": "no such file"}, None),
    ],
)
def test_how_it_ended(state: dict[str, Any], expected: Exit | None) -> None:
    assert exit_of(inspected(**state)) == expected


@given(anything)
def test_whatever_an_engine_says_is_read(said: Any) -> None:
    body = dict.fromkeys(("State", "Config", "HostConfig", "NetworkSettings"), said)
    for each in (
        body,
        {"State": {"StartedAt": said, "FinishedAt": said}, "NetworkSettings": {"Ports": {"80/tcp": said}}},
    ):
        exit_of(each)
        started_of(each)
        ports_of(each, ("80/tcp",))
