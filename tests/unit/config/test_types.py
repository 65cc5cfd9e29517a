"""What each kind of setting may not be, and how that is said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fake_machine import Machine


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("heartbaet = 2", "unknown key heartbaet, did you mean heartbeat?"),
        ("zzz = 2", "unknown key zzz"),
        ("[dockr]\nallow = []", "unknown key dockr, did you mean docker?"),
        ("stop-grace = 2", "unknown key stop-grace, did you mean stop_grace?"),
        ('heartbeat = "2"', "heartbeat: must be a number of seconds from 0.1 to 60, not '2'"),
        ("heartbeat = true", "heartbeat: must be a number of seconds from 0.1 to 60, not True"),
        ("heartbeat = nan", "heartbeat: must be a number of seconds from 0.1 to 60, not nan"),
        ("heartbeat = 0", "heartbeat: must be a number of seconds from 0.1 to 60, not 0"),
        ("log_bytes = 1.5", "log_bytes: must be a whole number from 4096 to 1099511627776, not 1.5"),
        ("log_bytes = 1", "log_bytes: must be a whole number from 4096 to 1099511627776, not 1"),
        ("embedded_redis = 1", "embedded_redis: must be true or false, not 1"),
        ('runtime = "swarm"', "runtime: must be auto, or some of script, docker, not 'swarm'"),
        ("namespace = 7", "namespace: must be text, not 7"),
        ('namespace = ""', "namespace: must not be empty"),
        ('namespace = "a b"', "namespace: must not contain ' '"),
        ('namespace = "a{b"', "namespace: must not contain '{'"),
        ('namespace = "a\\u0007"', "namespace: must not contain '\\x07'"),
        ('data_dir = "here"', "data_dir: must be an absolute path or begin with ~/, not 'here'"),
        ('session_env = "HOME"', "session_env: must be a list of names of environment variables, not 'HOME'"),
        ('session_env = ["A=B"]', "session_env: must be a list of names of environment variables, not 'A=B'"),
        ('port_range = "5-4"', "port_range: must lie between 1 and 65535, the lower port first, not '5-4'"),
        ('port_range = "0-4"', "port_range: must lie between 1 and 65535, the lower port first, not '0-4'"),
        ('port_range = "4"', "port_range: must be LOW-HIGH, as in 40000-40999, not '4'"),
        ("redis = 1", "redis: must be a Redis URL in quotes"),
        ('redis = "http://x"', "redis: a Redis URL begins with redis://, rediss:// or unix://"),
        ("[redis]\nurl = 1", "redis: must be a Redis URL in quotes"),
    ],
)
def test_what_a_file_may_not_hold(machine: Machine, content: str, reason: str) -> None:
    machine.write(machine.own_file, content)
    assert machine.refusal() == f"file {machine.own_file}: {reason}"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("heartbeat", "fast", "flag --heartbeat: must be a number of seconds from 0.1 to 60, not 'fast'"),
        ("heartbeat", "inf", "flag --heartbeat: must be a number of seconds from 0.1 to 60, not 'inf'"),
        ("log_bytes", "5000.0", "flag --log-bytes: must be a whole number from 4096 to 1099511627776, not '5000.0'"),
        ("log_bytes", "10MB", "flag --log-bytes: must be a whole number from 4096 to 1099511627776, not '10MB'"),
        ("heartbeat", "1__0", "flag --heartbeat: must be a number of seconds from 0.1 to 60, not '1__0'"),
        ("heartbeat", "nan", "flag --heartbeat: must be a number of seconds from 0.1 to 60, not 'nan'"),
        ("capacity", "_1", "flag --capacity: must be a whole number from 0 to 1000000, not '_1'"),
        ("capacity", "9" * 5000, "flag --capacity: must be a whole number from 0 to 1000000, not '999"),
        ("draining", "-0", "flag --draining: must be true or false, not '-0'"),
        ("capacity", "null", "flag --capacity: must be a whole number from 0 to 1000000, not 'null'"),
        ("log_level", "loud", "flag --log-level: must be one of debug, info, warning, error, not 'loud'"),
        ("session_env", "HOME,A=B", "flag --session-env: must be a list of names of environment variables, not 'A=B'"),
        ("embedded_redis", "maybe", "flag --embedded-redis: must be true or false, not 'maybe'"),
        ("labels", "a=b,c=\udcff", "flag --labels: must map names to text, but 'c' does not"),
        ("data_dir", "", "flag --data-dir: must not be empty"),
        ("data_dir", "~no-such-user/x", "flag --data-dir: names an unknown home directory"),
        ("redis", "redis://:se#cret@host", "flag --redis: cannot be read"),
        ("redis", "redis://:12#cret@host", "flag --redis: cannot be read"),
        ("redis", "redis://:12/cret@host", "flag --redis: cannot be read"),
        ("redis", "redis://:12?cret@host", "flag --redis: cannot be read"),
        ("redis", "redis://host/zero", "flag --redis: the part after the host must be a database number"),
        ("redis", "unix://", "flag --redis: the path of the socket is missing"),
    ],
)
def test_what_a_flag_may_not_hold(machine: Machine, name: str, text: str, reason: str) -> None:
    message = machine.refusal(**{name: text})
    assert message.startswith(reason)
    assert "cret" not in message


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("embedded_redis", "Yes", True),
        ("embedded_redis", "on", True),
        ("embedded_redis", "1", True),
        ("embedded_redis", "FALSE", False),
        ("embedded_redis", "off", False),
        ("log_bytes", "10_485_760", 10 << 20),
        ("heartbeat", " 2 ", 2.0),
        ("heartbeat", ".5", 0.5),
        ("heartbeat", "5.", 5.0),
        ("heartbeat", "+30", 30.0),
        ("stop_grace", "007", 7.0),
        ("capacity", "+5", 5),
        ("capacity", "010", 10),
        ("capacity", "1_000", 1000),
        ("docker_images", "a, ,b,", ("a", "b")),
        ("session_env", "", ()),
    ],
)
def test_what_text_means(machine: Machine, name: str, text: str, value: object) -> None:
    assert getattr(machine.load(**dict[str, Any]({name: text})), name) == value
