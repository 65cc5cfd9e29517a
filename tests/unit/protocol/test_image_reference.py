"""What is a reference to an image, what is a pattern for some, and which fits which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.protocol.image_reference import is_reference, parse_pattern, parse_reference

DIGEST = "sha256:" + "ab" * 32
names = st.from_regex(r"[a-z0-9]{1,9}(([._]|__|-{1,3})[a-z0-9]{1,9}){0,2}", fullmatch=True)
hosts = st.from_regex(r"([a-z]{1,9}\.[a-z]{2,5}|localhost)(:[0-9]{2,5})?", fullmatch=True)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


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
    with pytest.raises(ValueError, match=r"is not an image pattern|has no digest"):
        parse_pattern(pattern)
