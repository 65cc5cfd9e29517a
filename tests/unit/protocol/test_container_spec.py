"""What is an image script, and what is wrong with one that is none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.errors import BadRequest
from pycloud.protocol.container_spec import RUNTIME_NAMES, parse, possible_runtimes
from pycloud.protocol.image_reference import is_reference

json_objects = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def refused(script: str) -> str:
    """What is said of a script that is no image script."""
    with pytest.raises(BadRequest) as error:
        parse(script)
    return error.value.message


@pytest.mark.parametrize(
    ("script", "kinds"),
    [
        ("#!/bin/sh\necho hello", ("script",)),
        ("echo hello\n", ("script",)),
        ("true\nfalse\n", ("script",)),
        ("true\n(exit 3)", ("script",)),
        ("build\n{ echo a; }", ("script",)),
        ("nginx {}", ("script",)),
        ('{"port": 80}', ("script",)),
        ("", ("script",)),
        (" \n", ("script",)),
        ("Nginx\n{}", ("script",)),
        ("tools/build\n{ echo a; }", ("script",)),
        ("Year4000/pycloud\n{}", ("docker",)),
        ("nginx\n{'port': 80}", ("docker",)),
        ("nginx\n{port: 80}", ("docker",)),
        ('year4000/pycloud {"port": 80}', ("docker",)),
        ("nginx", RUNTIME_NAMES),
        ("\r\n  nginx:1  \r\n\r\n", RUNTIME_NAMES),
        ("nginx\n{}", ("docker",)),
        ('nginx\r\n\r\n  {\r\n "port": 80}', ("docker",)),
        ('nginx\n{"port": oops', ("docker",)),
        ("nginx\n{ }", ("docker",)),
    ],
)
def test_the_look_of_a_script_says_what_it_may_be(script: str, kinds: tuple[str, ...]) -> None:
    assert possible_runtimes(script) == kinds


def test_a_long_script_costs_no_more_than_its_first_line() -> None:
    assert possible_runtimes("a" * 1_000_000) == ("script",)
    assert possible_runtimes("a-" * 500_000 + "\n{}") == ("script",)
    assert possible_runtimes("nginx\n" + " " * 1_000_000) == RUNTIME_NAMES


@given(json_objects, st.sampled_from(["\n", "\r\n", "\n\n \t\n"]), st.sampled_from([None, 0, 2]))
def test_an_image_script_comes_out_as_it_went_in(options: dict[str, Any], line_end: str, indent: int | None) -> None:
    script = "year4000/pycloud" + line_end + json.dumps(options, indent=indent) + "\n"
    parsed = parse(script)
    assert (parsed.image, parsed.as_written) == ("docker.io/year4000/pycloud:latest", "year4000/pycloud")
    assert parsed.options == options
    assert possible_runtimes(script) == ("docker",)


@given(st.text() | st.text().map(lambda rest: "nginx\n{" + rest) | st.text('{}[]":,e1.-nul\\ \n').map("n\n{".__add__))
def test_any_script_is_read_or_refused(script: str) -> None:
    assert set(possible_runtimes(script)) <= set(RUNTIME_NAMES)
    try:
        parsed = parse(script)
    except BadRequest as error:
        assert error.message
    else:
        assert "docker" in possible_runtimes(script) or script.strip(" \t\r\n").endswith("}")
        assert is_reference(parsed.image)


def test_without_options_there_are_none() -> None:
    for script in ("nginx", "\n\nnginx\n\n", "nginx\r\n"):
        assert parse(script).options == {}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "first line"),
        ("#!/bin/sh\nls", '"#!/bin/sh"'),
        ("nginx {}", '"nginx {}"'),
        (
            "Nginx\n{}",
            "line 1: Nginx is not a valid image reference, as in year4000/pycloud:1.2 (image names are lower",
        ),
        ("\ufeffnginx", "first line"),
        ("nginx\nport: 80", "line 2, column 1: only one JSON object of options may follow the image"),
        ("nginx\n\n [1]", "line 3, column 2: only one JSON object of options may follow the image"),
        ('nginx\n{\n  "port": 80,\n}', "the options are not valid JSON"),
        ('nginx\n{\n  "port" 80\n}', "line 3, column 10"),
        ('nginx\r\n{"port": 80', "line 2, column 12"),
        ("nginx\n{} ls", "line 2, column 4: nothing may follow"),
        ("nginx\n{}\n{}", "line 3, column 1: nothing may follow"),
        ('nginx\n{"a": 1, "a": 2}', '"a" twice'),
        ('nginx\n{"x": {"privileged": false, "privileged": true}}', '"privileged" twice'),
        ('nginx\n{"a": 1, "\\u0061": 2}', '"a" twice'),
        *[
            (f'nginx\n{{"a": [{word}]}}', f"{word}, which is not valid JSON")
            for word in ("NaN", "Infinity", "-Infinity")
        ],
        ('nginx\n{"a": 1e999}', "too large"),
        ('nginx\n{"a": ' + "9" * 10_000 + "}", "too long"),
        ('nginx\n{"a": "\\u0000"}', "not text"),
        ('nginx\n{"\\ud800": 1}', "not text"),
        ('nginx\n{"a": "x\ny"}', "line 2, column 9"),
        ('nginx\n{"a": ' + "[" * 40 + "]" * 40 + "}", "too deeply"),
        ('nginx\n{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "too deeply"),
        ('nginx\n{"a": ' + '{"a": ' * 100_000, "too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(script: str, said: str) -> None:
    assert said in refused(script)
    assert len(refused(script)) < 300


def test_a_long_first_line_is_not_read_to_its_end() -> None:
    """Every cloud that hears a create looks at its script."""

    def seconds(script: str) -> float:
        began = time.process_time()
        for _ in range(50):
            assert possible_runtimes(script) == ("script",)
        return time.process_time() - began

    short, long = ("x" * count + "/" + "x" * count for count in (1_000, 300_000))
    assert min(seconds(long) for _ in range(3)) < 20 * min(seconds(short) for _ in range(3))
