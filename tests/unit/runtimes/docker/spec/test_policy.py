"""Whoever may publish does not own the host: what is let through is on a list, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.config import Config
from pycloud.errors import BadRequest, ConfigError, NotAllowed
from pycloud.protocol.image_reference import parse_reference
from pycloud.runtimes.docker.spec.options import OPTIONS, validate_options
from pycloud.runtimes.docker.spec.policy import ALWAYS_ALLOWED, ISOLATED_NETWORKS, VALUE_CHECKS, Policy
from tests.unit.runtimes.docker.spec.test_options import anything

#: A value for each of the options that are refused.
CROSSING: dict[str, Any] = {
    "privileged": True,
    "cap_add": ["SYS_ADMIN"],
    "devices": ["/dev/sda:/dev/sda:rwm"],
    "device_requests": [{"count": -1, "capabilities": [["gpu"]]}],
    "device_cgroup_rules": ["a *:* rwm"],
    "security_opt": ["apparmor=unconfined"],
    "log_config": {"type": "syslog", "config": {"syslog-address": "tcp://1.2.3.4:5"}},
    "cgroup_parent": "/",
    "cgroupns": "host",
    "runtime": "runc",
    "volumes_from": ["other"],
    "links": {"other": "alias"},
    "volume_driver": "local",
    "storage_opt": {"size": "1G"},
    "sysctls": {"kernel.shmmax": "1"},
    "ulimits": [{"name": "nofile", "soft": 1, "hard": 1}],
    "oom_kill_disable": True,
    "oom_score_adj": -1000,
    "mac_address": "02:42:ac:11:00:02",
    "group_add": [0],
    "kernel_memory": "1g",
    "cpu_rt_period": 1,
    "cpu_rt_runtime": 1,
    "blkio_weight": 1000,
    "blkio_weight_device": [{"Path": "/dev/sda", "Weight": 10}],
    "device_read_bps": [{"Path": "/dev/sda", "Rate": 1}],
    "device_read_iops": [{"Path": "/dev/sda", "Rate": 1}],
    "device_write_bps": [{"Path": "/dev/sda", "Rate": 1}],
    "device_write_iops": [{"Path": "/dev/sda", "Rate": 1}],
    "isolation": "hyperv",
    "use_config_proxy": True,
    "publish_all_ports": True,
    "lxc_conf": {"a": "b"},
    **dict.fromkeys(("pid_mode", "ipc_mode", "userns_mode", "uts_mode", "network", "network_mode"), "host"),
    "networking_config": {"other": {"Aliases": ["db"]}},
    "ports": {"80": 80},
    "volumes": ["/:/host"],
    "mounts": [{"type": "bind", "source": "/", "target": "/host"}],
    "tmpfs": {"/x": "dev"},
    "healthcheck": {"test": ["CMD", "true"], "interval": 999_999_999},
    "working_dir": "/proc/self/fd/8",
}


def permitted(policy: Policy, **options: Any) -> dict[str, Any]:
    """What comes of a request's options."""
    return policy.permitted(validate_options(options))


def refused(policy: Policy, **options: Any) -> str:
    """Why not."""
    with pytest.raises(NotAllowed) as error:
        permitted(policy, **options)
    return error.value.message


def config(**fields: Any) -> Config:
    """Settings."""
    return Config(data_dir=Path("/d"), run_dir=Path("/r"), hostname="h", **fields)


def test_what_is_allowed_is_a_list() -> None:
    assert set(CROSSING) == set(OPTIONS) - ALWAYS_ALLOWED
    assert not ALWAYS_ALLOWED & set(VALUE_CHECKS)
    assert {*ALWAYS_ALLOWED, *VALUE_CHECKS} <= set(OPTIONS)


@pytest.mark.parametrize("name", sorted(CROSSING))
def test_what_crosses_the_border_is_refused_until_the_operator_opens_it(name: str) -> None:
    options = {name: CROSSING[name], **({"network": "bridge"} if name == "networking_config" else {})}
    assert f"`{name}`" in refused(Policy(), **options)
    opened = permitted(Policy(allow=frozenset({name})), **options)
    assert opened[name] == validate_options(options)[name]


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), anything, max_size=3))
def test_no_value_of_an_option_that_is_not_open_gets_through(options: dict[str, Any]) -> None:
    try:
        found = permitted(Policy(), **options)
    except (BadRequest, NotAllowed):
        return
    assert set(found) <= ALWAYS_ALLOWED | set(VALUE_CHECKS)
    assert found.get("network", "none") in ISOLATED_NETWORKS
    assert all(volume.source is None for volume in found.get("volumes", ()))
    assert all(mount.source is None for mount in found.get("mounts", ()))
    assert not any(found.get("ports", {}).values())


@given(st.text() | st.sampled_from([*ISOLATED_NETWORKS, "games", "host"]), st.sampled_from(["network", "network_mode"]))
def test_no_network_gets_through_but_those_on_the_list(name: str, option: str) -> None:
    for policy, free in ((Policy(network="games"), {"none", "games"}), (Policy(), ISOLATED_NETWORKS)):
        try:
            found = permitted(policy, **{option: name})
        except NotAllowed:
            assert name not in free
        else:
            assert name in free | {""}
            assert found.get(option, "") == name


@pytest.mark.parametrize("option", ["network", "network_mode"])
def test_where_the_operator_chose_a_network_no_session_leaves_it_for_another(option: str) -> None:
    fenced = Policy(network="games")
    for name in ("bridge", "default", "host"):
        assert f"`{option}`: {name} is not a network for sessions on this node" in refused(fenced, **{option: name})
    for name in ("none", "games"):
        assert permitted(fenced, **{option: name}) == {option: name}
    assert permitted(replace(fenced, allow=frozenset({option})), **{option: "bridge"}) == {option: "bridge"}


@pytest.mark.parametrize("option", ["network", "network_mode", "ipc_mode", "pid_mode", "userns_mode", "uts_mode"])
def test_no_namespace_of_the_host_or_of_another_container(option: str) -> None:
    others = (
        "HOST",
        " host",
        "host ",
        "container:x",
        "container:",
        "ns:/proc/1/ns/net",
        "a" * 64,
        "shareable",
        "games",
    )
    for value in ("host", *others):
        with pytest.raises((NotAllowed, BadRequest), match=f"`{option}`"):
            permitted(Policy(), **{option: value})
    assert f"`{option}`" in refused(Policy(network="games"), **{option: "host"})


def test_what_asks_for_nothing_is_left_out() -> None:
    nothing = {"privileged": False, "cap_add": [], "devices": [], "pid_mode": "", "sysctls": {}, "oom_score_adj": 0}
    assert permitted(Policy(), **nothing, volumes=[], ports={}, network="") == {}


def test_harmless_values_of_limited_options() -> None:
    for options in (
        {"ports": {"80/tcp": None}},
        {"volumes": ["/data"]},
        {"mounts": [{"target": "/x"}, {"target": "/y", "type": "tmpfs", "tmpfs_size": "1m", "tmpfs_mode": 0o700}]},
        {"tmpfs": {"/run": "size=64m,mode=1777,noexec", "/tmp": ""}},
        {"ipc_mode": "private"},
        {"healthcheck": {"test": "true", "interval": 1_000_000_000, "timeout": 1_000_000}},
        {"healthcheck": {"test": "true", "interval": 0}},
        {"healthcheck": {"test": ["NONE"]}},
        {"cgroupns": "private"},
        {"network": "none"},
        {"working_dir": "/srv/proc"},
        {"working_dir": "/process"},
    ):
        assert permitted(Policy(), **options) == validate_options(options)


@pytest.mark.parametrize("where", [8080, "8080", 0, ["127.0.0.1"], ["127.0.0.1", 80], [80, 81], {"HostPort": "1"}])
def test_no_port_of_the_host_may_be_chosen(where: Any) -> None:
    assert "`ports`" in refused(Policy(), ports={"80": None, "81/udp": where})


@pytest.mark.parametrize(
    "options", ["dev", "suid", "bind", "rbind", "shared", "size=1m,dev", "source=/etc", "size", "=x"]
)
def test_odd_options_of_tmpfs(options: str) -> None:
    assert "`tmpfs`" in refused(Policy(), tmpfs={"/x": options})
    assert "`tmpfs`" in refused(Policy(), tmpfs=[f"/x:{options}"])


@pytest.mark.parametrize(
    "mount",
    [
        {"type": "volume", "driver_config": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}},
        {"type": "volume", "labels": {"a": "b"}},
        {"type": "volume", "subpath": "../.."},
        {"type": "volume", "source": "named"},
        {"type": "npipe", "source": "x"},
        {"type": "bind", "source": "/open", "propagation": "rshared"},
        {"type": "bind", "source": "/", "read_only": True},
    ],
)
def test_mounts_that_reach_into_the_host(mount: dict[str, Any]) -> None:
    policy = Policy.from_config(config(docker_volumes=("/open",)))
    assert "`mounts`" in refused(replace(policy, resolve=lambda path: path), mounts=[{"target": "/x", **mount}])


@pytest.mark.parametrize("place", ["/proc", "/proc/", "/proc/self/fd/8", "//proc/1", "/./proc/x", "/x//../proc/1/root"])
def test_places_where_the_engine_is_at_work(place: str) -> None:
    for options in (
        {"working_dir": place},
        {"working_dir": place.lstrip("/")},
        {"volumes": [place.replace("/x//..", "")]},
        {"mounts": [{"target": place.replace("/x//..", "")}]},
        {"mounts": [{"target": place.replace("/x//..", ""), "type": "tmpfs"}]},
        {"tmpfs": {place.replace("/x//..", ""): ""}},
    ):
        (name,) = options
        assert f"`{name}`: " in refused(Policy(), **options)
        assert permitted(Policy(allow=frozenset({name})), **options) == validate_options(options)


@pytest.mark.parametrize("mode", ["z", "Z", "shared", "rslave", "ro,z", "rw,rshared", "private"])
def test_modes_of_volumes_that_reach_into_the_host(mode: str) -> None:
    policy = replace(Policy.from_config(config(docker_volumes=("/open",))), resolve=lambda path: path)
    assert "`volumes`" in refused(policy, volumes=[f"/open:/x:{mode}"])
    assert "`volumes`" in refused(policy, volumes={"/open": {"bind": "/x", "mode": mode}})


def test_images_are_those_of_the_operator() -> None:
    def full(image: str) -> tuple[str, str]:
        return str(parse_reference(image)), image

    Policy().check_image(*full("evil.example/x"))
    policy = Policy.from_config(config(docker_images=("year4000/*", "nginx:1.*")))
    for image in ("year4000/pycloud", "docker.io/year4000/pycloud:3", "nginx:1.2"):
        policy.check_image(*full(image))
    digest = "@sha256:" + "a" * 64
    for image in ("evil.example/year4000/x", "nginx", f"nginx:1.2{digest}", "sha256:" + "a" * 64, "abcdef123456"):
        with pytest.raises(NotAllowed, match=r"docker\.images"):
            policy.check_image(*full(image))


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("**", ["nginx", "year4000/pycloud", "a/b/c:1"], ["evil.example/nginx", "localhost/year4000/pycloud"]),
        ("docker.io/**", ["nginx", "index.docker.io/year4000/pycloud", "a/b/c"], ["evil.example/nginx"]),
        ("**:1.*", ["nginx:1.2", "year4000/pycloud:1.3"], ["year4000/pycloud:2", "evil.example/x:1.2"]),
        ("*", ["nginx", "docker.io/library/nginx"], ["year4000/nginx", "evil.example/nginx"]),
        ("nginx**", ["nginx", "nginx-extra"], ["nginxevil/nginx"]),
    ],
)
def test_two_stars_alone_are_all_of_docker_hub(pattern: str, allowed: list[str], refused: list[str]) -> None:
    policy = Policy.from_config(config(docker_images=(pattern,)))
    for image in allowed:
        policy.check_image(str(parse_reference(image)), image)
    for image in refused:
        with pytest.raises(NotAllowed):
            policy.check_image(str(parse_reference(image)), image)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"docker_allow": ("priviledged",)},
            'docker.allow: there is no option "priviledged"; did you mean "privileged"',
        ),
        ({"docker_allow": ("restart_policy",)}, "docker.allow: restart_policy cannot be allowed"),
        ({"docker_images": ("Year4000/*",)}, "docker.images: 'Year4000/*'"),
        ({"docker_volumes": ("maps/x",)}, "docker.volumes: 'maps/x'"),
        ({"docker_volumes": ("/maps:wx",)}, "docker.volumes: '/maps:wx'"),
        ({"docker_volumes": ("/maps:",)}, "docker.volumes: '/maps:'"),
        ({"docker_defaults": {"mem_limit": "lots"}}, 'docker.defaults: `mem_limit` is "lots"'),
        ({"docker_defaults": {"memlimit": 1}}, 'did you mean "mem_limit"'),
        ({"docker_defaults": {"labels": {"pycloud.session": "x"}}}, "docker.defaults: `labels`"),
        ({"docker_defaults": {"name": "x"}}, "docker.defaults: `name` belongs to PyCloud"),
    ],
)
def test_settings_are_checked_at_the_start(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Policy.from_config(config(**fields))
    assert said in error.value.message


def test_defaults_are_the_operators_and_not_subject_to_the_policy() -> None:
    policy = Policy.from_config(
        config(docker_defaults={"privileged": True, "volumes": ["/:/host:ro"]}, docker_network="games")
    )
    assert policy.defaults["privileged"] is True
    assert policy.network == "games"
    assert "`privileged`" in refused(policy, privileged=True)
