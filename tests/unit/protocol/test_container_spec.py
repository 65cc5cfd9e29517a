"""What is an image, what is an image script, and what is wrong with one that is none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.errors import BadRequest
from pycloud.protocol.container_spec import RUNTIME_NAMES, parse, possible_runtimes
from pycloud.protocol.image_reference import is_reference, parse_pattern, parse_reference

DIGEST = "sha256:" + "ab" * 32
names = st.from_regex(r"[a-z0-9]{1,9}(([._]|__|-{1,3})[a-z0-9]{1,9}){0,2}", fullmatch=True)
hosts = st.from_regex(r"([a-z]{1,9}\.[a-z]{2,5}|localhost)(:[0-9]{2,5})?", fullmatch=True)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
json_objects = st.dictionaries(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5),
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
    ("written", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.2-x", "docker.io/library/nginx:1.2-x"),
        ("year4000/pycloud", "docker.io/year4000/pycloud:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/year4000/a", "docker.io/year4000/a:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b:t"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("ghcr.io/x/y@" + DIGEST, "ghcr.io/x/y@" + DIGEST),
        ("x/y:t@" + DIGEST, "docker.io/x/y:t@" + DIGEST),
        ("sha256:" + "a" * 64, "docker.io/library/sha256:" + "a" * 64),
        ("a/b/c", "docker.io/a/b/c:latest"),
    ],
)
def test_an_image_has_one_full_name(written: str, full: str) -> None:
    assert str(parse_reference(written)) == full
    assert str(parse_reference(full)) == full


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "Nginx", "x/Y", "Host/x", "a//b", "/a", "a/", "a:", "a@", ":t", "@" + DIGEST, "a b", "a\n", "a:b:c"),
        *(
            "a" * 64,
            "a@sha256:12",
            "a@" + DIGEST.upper(),
            "a:" + "t" * 129,
            "a" * 300,
            "-a",
            "a-",
            "a._b",
            "a___b",
            "é",
        ),
        *("http://x/y", "x/../y", "$IMAGE", "a;b", "a:t@x@" + DIGEST, "host:70000000/x", "*", "docker.io/", "./x"),
    ],
)
def test_what_is_no_image(written: str) -> None:
    assert not is_reference(written)


@given(st.none() | hosts, st.lists(names, min_size=1, max_size=3), st.none() | tags, st.booleans())
def test_a_reference_is_read_as_it_was_put_together(
    host: str | None, path: list[str], tag: str | None, digest: bool
) -> None:
    text = "/".join([*([host] if host else []), *path]) + (f":{tag}" if tag else "") + (f"@{DIGEST}" if digest else "")
    if not host and not is_reference(text):  # a first component with a dot is a host, 64 hex digits are an id
        return
    reference = parse_reference(text)
    assert reference.tag == (tag or (None if digest else "latest"))
    assert reference.digest == (DIGEST if digest else None)
    assert reference.path.split("/")[-1] == path[-1]
    assert parse_reference(str(reference)) == reference
    assert host is None or reference.host == host


@given(st.text())
def test_any_text_is_an_image_or_not(text: str) -> None:
    if is_reference(text):
        assert is_reference(str(parse_reference(text)))


@pytest.mark.parametrize(
    ("pattern", "image", "matches"),
    [
        ("year4000/*", "year4000/pycloud:x", True),
        ("year4000/*", "docker.io/year4000/pycloud", True),
        ("year4000/*", f"year4000/pycloud@{DIGEST}", True),
        ("year4000/*", "evil.example/year4000/pycloud", False),
        ("year4000/*", "docker.io:443/year4000/pycloud", False),
        ("year4000/*", "year4000/a/b", False),
        ("year4000/**", "year4000/a/b", True),
        ("year4000/*", "year40000/x", False),
        ("*", "nginx", True),
        ("*", "year4000/nginx", False),
        ("nginx:1.*", "nginx:1.25", True),
        ("nginx:1.*", "nginx:2", False),
        ("nginx:1.*", "nginx", False),
        ("nginx:latest", "nginx", True),
        ("nginx:1.*", f"nginx:1.25@{DIGEST}", False),
        (f"nginx@{DIGEST}", f"nginx:any@{DIGEST}", True),
        (f"nginx@{DIGEST}", "nginx", False),
        ("localhost:5000/*", "localhost:5000/x:t", True),
        ("localhost:5000/*", "localhost:5001/x", False),
        ("*.example.com/*", "a.example.com/x", True),
        ("*.example.com/*", "evil.org/a.example.com/x", False),
        ("*/pycloud", "evil.example/pycloud", False),
        ("a.c/x", "abc/x", False),
    ],
)
def test_a_pattern_means_what_an_image_of_its_spelling_would(pattern: str, image: str, matches: bool) -> None:
    assert parse_pattern(pattern).matches(parse_reference(image)) is matches


@pytest.mark.parametrize("pattern", ["", "a b", "X/*", "**.example.com/x", "a:", "a@", "a@x", "a/*:t:t", "/*"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"is no pattern|has no digest"):
        parse_pattern(pattern)


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
        ("Nginx\n{}", "line 1: Nginx is no reference to one, as in year4000/pycloud:1.2 (names of images are lower"),
        ("\ufeffnginx", "first line"),
        ("nginx\nport: 80", "line 2, column 1: after the image comes one JSON object"),
        ("nginx\n\n [1]", "line 3, column 2: after the image comes one JSON object"),
        ('nginx\n{\n  "port": 80,\n}', "the options are no JSON"),
        ('nginx\n{\n  "port" 80\n}', "line 3, column 10"),
        ('nginx\r\n{"port": 80', "line 2, column 12"),
        ("nginx\n{} ls", "line 2, column 4: there is more"),
        ("nginx\n{}\n{}", "line 3, column 1: there is more"),
        ('nginx\n{"a": 1, "a": 2}', '"a" twice'),
        ('nginx\n{"x": {"privileged": false, "privileged": true}}', '"privileged" twice'),
        ('nginx\n{"a": 1, "\\u0061": 2}', '"a" twice'),
        *[(f'nginx\n{{"a": [{word}]}}', f"{word}, which is no JSON") for word in ("NaN", "Infinity", "-Infinity")],
        ('nginx\n{"a": 1e999}', "too large"),
        ('nginx\n{"a": ' + "9" * 10_000 + "}", "too long"),
        ('nginx\n{"a": "\\u0000"}', "no text"),
        ('nginx\n{"\\ud800": 1}', "no text"),
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
