"""Every option of docker-py is known, what it may look like is checked, and nothing else exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
from docker.models import containers
from hypothesis import given
from hypothesis import strategies as st

from pycloud.errors import BadRequest
from pycloud.runtimes.docker.spec.mounts import Volume
from pycloud.runtimes.docker.spec.options import MAX_PORTS, OPTIONS, RESERVED_OPTIONS, validate_options

#: Of docker-py's own, these are arguments of ``run`` that stand in neither of its lists.
EXTRAS = {"remove", "stdout", "stderr", "stream", "ports", "volumes", "network", "networking_config", "memswap_limit"}
OURS = {"port", "stop_grace"}
DOCUMENTED = set(
    re.findall(r"^ {12}(\w+) ?\(.*\)?:|^ {12}(\w+):", str(containers.ContainerCollection.run.__doc__), re.M)
)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["/a:/b", "1m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["bind", "/a"]), inner),
    max_leaves=8,
)


def refused(**options: Any) -> str:
    """What is said of options that are no good."""
    with pytest.raises(BadRequest) as error:
        validate_options(options)
    return error.value.message


def test_every_option_of_docker_py_is_known_and_no_other() -> None:
    documented = {name for pair in DOCUMENTED for name in pair if name}
    theirs = {*containers.RUN_CREATE_KWARGS, *containers.RUN_HOST_CONFIG_KWARGS, *EXTRAS}
    assert documented <= theirs
    assert len(documented) > 80
    assert set(OPTIONS) | set(RESERVED_OPTIONS) == theirs | OURS
    assert not set(OPTIONS) & set(RESERVED_OPTIONS)


@pytest.mark.parametrize("name", sorted(RESERVED_OPTIONS))
def test_what_is_pyclouds_is_refused_whatever_its_value(name: str) -> None:
    value: Any
    for value in (None, False, "", {}, "x"):
        assert f"`{name}` belongs to PyCloud" in refused(**{name: value})


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("prot", "port"),
        ("Port", "port"),
        ("enviroment", "environment"),
        ("memory_limit", "mem_limit"),
        ("env", "environment"),
        ("stop_timeout", "stop_grace"),
        ("cpus", "nano_cpus"),
        ("volume", "volumes"),
        ("privilege", "privileged"),
        ("cap-add", "cap_add"),
        ("detatch", "detach"),
    ],
)
def test_an_unknown_option_is_refused_with_the_closest_one(name: str, closest: str) -> None:
    assert refused(**{name: 1}) == f'there is no option "{name}"; did you mean "{closest}"?'


@given(st.text(), anything)
def test_an_option_of_tomorrow_is_refused(name: str, value: Any) -> None:
    if name not in OPTIONS:
        assert name[:20] in refused(**{name: value}) or '"' in refused(**{name: value})
    assert refused(escape_to_host=value).startswith('there is no option "escape_to_host"')


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), anything, max_size=4))
def test_any_value_is_brought_into_its_form_or_refused(options: dict[str, Any]) -> None:
    try:
        checked = validate_options(options)
    except BadRequest as error:
        assert len(error.message) < 1000
        assert "`" in error.message
    else:
        assert set(checked) == {name for name, value in options.items() if value is not None}


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("port", 80, ("80/tcp",)),
        ("port", "80", ("80/tcp",)),
        ("port", "53/udp", ("53/udp",)),
        ("port", [80, "53/udp", "080/tcp"], ("80/tcp", "53/udp")),
        ("port", [], ()),
        ("ports", {"80": None, "53/udp": 53}, {"80/tcp": None, "53/udp": "53"}),
        ("ports", {"80": ["127.0.0.1", 8080]}, {"80/tcp": ("127.0.0.1", "8080")}),
        ("ports", {"80": ["127.0.0.1"]}, {"80/tcp": ("127.0.0.1",)}),
        ("ports", {"80": [8080, 8081]}, {"80/tcp": ["8080", "8081"]}),
        ("ports", {"80": [["::1", 1], ["127.0.0.1", 2]]}, {"80/tcp": [("::1", "1"), ("127.0.0.1", "2")]}),
        ("ports", {"80": {"HostIp": "::1", "HostPort": "1"}}, {"80/tcp": ("::1", "1")}),
        ("stop_grace", 0, 0.0),
        ("command", "sh -c 'a b'", ["sh", "-c", "a b"]),
        ("command", ["a b"], ["a b"]),
        ("environment", {"A": "x", "B": 3, "C": None}, {"A": "x", "B": "3", "C": None}),
        ("environment", ["A=x=y", "B"], {"A": "x=y", "B": None}),
        ("labels", ["a", "b=c"], {"a": "", "b": "c"}),
        ("labels", {"a": None, "b": 1}, {"a": "", "b": "1"}),
        ("mem_limit", "64m", 64 << 20),
        ("mem_limit", "1.5G", 3 << 29),
        ("mem_limit", "100", 100),
        ("mem_limit", "2mb", 2 << 20),
        ("mem_limit", 5, 5),
        ("memswap_limit", -1, -1),
        ("memswap_limit", "-1", -1),
        ("nano_cpus", 1e9, 1_000_000_000),
        ("user", 1000, "1000"),
        ("user", "1000:1000", "1000:1000"),
        *[("stop_signal", word, "2") for word in ("SIGINT", "int", "sigint", "2", 2)],
        ("stop_signal", "SIGRTMIN+3", "37"),
        ("stop_signal", "RTMAX-1", "63"),
        ("healthcheck", {"Test": "x", "StartPeriod": 0}, {"test": "x", "start_period": 0}),
        ("extra_hosts", ["a:::1"], {"a": "::1"}),
        ("tmpfs", ["/a", "/b:size=1m"], {"/a": "", "/b": "size=1m"}),
        ("volumes", ["/data"], (Volume(None, "/data"),)),
        ("volumes", ["/s:/t:ro,nocopy"], (Volume("/s", "/t", ("ro", "nocopy")),)),
        ("volumes", {"/s": {"bind": "/t", "ro": True}}, (Volume("/s", "/t", ("ro",)),)),
        (
            "volumes",
            {"/s": {"bind": "/t", "mode": "rw", "propagation": "shared"}},
            (Volume("/s", "/t", ("rw", "shared")),),
        ),
        ("volumes", {"vol": "/t"}, (Volume("vol", "/t"),)),
    ],
)
def test_the_spellings_of_a_value_come_to_one_form(name: str, value: Any, form: Any) -> None:
    assert validate_options({name: value}) == {name: form}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("port", value) for value in (0, 65536, -1, 1.5, True, "80/icmp", "80-90", "http", {"a": 1}, [[80]], "80 ")],
        ("port", list(range(1, MAX_PORTS + 2))),
        ("ports", {str(port): None for port in range(1, MAX_PORTS + 2)}),
        *[("ports", value) for value in [[80], {"80": True}, {"80": 1.5}, {"80": []}, {"80": "1-9"}, {"80": [[[1]]]}]],
        *[("ports", value) for value in ({"80": 1, "80/tcp": 2}, {"80": {"HostPort": 1, "x": 2}}, {"80-90": None})],
        *[("stop_grace", value) for value in (-1, 3601, "5", True)],
        *[("privileged", value) for value in [1, "true", [], ""]],
        *[("mem_limit", value) for value in ("64x", "", "m", -5, 1.5, True, "1e3", "-5m", "-1m", 2**70, "9" * 30)],
        *[("nano_cpus", value) for value in ("1", 0.5, 2**63, True, 1e300)],
        *[("command", value) for value in ("unbalanced '", [1], {"a": 1}, 5)],
        *[("environment", value) for value in ({"A": True}, {"": "x"}, {"A=B": "x"}, "A=b", [1], {"A": ["x"]}, ["=x"])],
        *[("environment", {name: None}) for name in ("PYCLOUD_SESSION", "PYCLOUD_PORT")],
        ("environment", ["PYCLOUD_CLOUD=x"]),
        *[
            ("labels", value)
            for value in ({"pycloud.session": "x"}, ["pycloud.cloud"], ["pycloud.x=1"], {"pycloud.": 1})
        ],
        *[("stop_signal", value) for value in ("SIGNOPE", 0, 65, "0", "TERM+1", "RTMIN+99", "", True, "SIGSIGINT ")],
        *[("healthcheck", value) for value in ("x", {"tset": "x"}, {"interval": "5s"}, {"interval": 5}, {"test": [1]})],
        *[("tmpfs", value) for value in ("/a", ["a"], {"/": ""}, {"/a": 1}, {"/../a": ""})],
        *[
            ("volumes", value)
            for value in ("/a:/b", [1], ["a"], ["/a:b"], ["/a:/b:ro:x"], ["/a:/b:ro,rw"], ["/a:/b:odd"])
        ],
        *[("volumes", [value]) for value in ("C:\\x:/y", "c:/x:/y", "\\\\pipe\\x:/y", "./a:/b", "~/a:/b", "../a:/b")],
        *[
            ("volumes", [value])
            for value in ("/a:/", "/a:/x/..", "/a:/x/../etc", ":/a", "/a::ro", "", "/data:ro", "a:/b")
        ],
        *[("volumes", value) for value in ({"": "/a"}, {"/a:/b": "/c"}, {"/a": {"mode": "ro"}}, {"/a": {"bind": 1}})],
        ("volumes", {"/a": {"bind": "/b", "ro": True, "mode": "rw"}}),
        ("volumes", {"/a": {"bind": "/b:/etc"}}),
        ("volumes", {"/a": {"bind": "/b", "mode": "ro:/x"}}),
        *[("mounts", value) for value in [{}, [{}], [{"target": "x"}], [{"target": "/x", "type": "odd"}], ["/a:/b"]]],
        ("mounts", [{"target": "/x", "source": "/etc"}]),
        ("mounts", [{"target": "/x", "source": "../etc", "type": "bind"}]),
        ("mounts", [{"target": "/x", "type": "bind"}]),
        ("mounts", [{"target": "/x", "type": "tmpfs", "source": "/etc"}]),
        ("mounts", [{"target": "/x", "type": "tmpfs", "driver_config": {"Name": "local"}}]),
        ("mounts", [{"target": "/x", "BindOptions": {"Propagation": "shared"}}]),
        ("cap_drop", "ALL"),
        ("dns", "1.1.1.1"),
        ("cpuset_cpus", "0; rm"),
        ("platform", "linux&x=1"),
        ("network", {"a": 1}),
    ],
)
def test_a_wrong_value_is_refused_by_the_options_name(name: str, value: Any) -> None:
    message = refused(**{name: value})
    assert f"`{name}`" in message
    assert len(message) < 400


def test_null_is_as_good_as_nothing() -> None:
    assert validate_options(dict.fromkeys(OPTIONS)) == {}


def test_options_that_contradict_each_other() -> None:
    assert "together" in refused(network="a", network_mode="b")
    assert "without `network`" in refused(networking_config={"a": {}})
