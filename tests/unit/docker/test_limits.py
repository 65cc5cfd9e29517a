"""How long and how many: what a request may ask for without wearing out the host, the engine or other requesters."""

from __future__ import annotations

from typing import Any

import pytest

from pycloud.errors import BadRequest
from pycloud.runtimes.docker.spec.options import (
    LONGEST_PROGRAM,
    MOST_ENTRIES,
    MOST_ENVIRONMENT,
    MOST_LABELS,
    MOST_PORTS,
    check,
)
from pycloud.runtimes.docker.spec.schema import LONGEST_LINE, LONGEST_TEXT, LONGEST_WORD

#: What the kernel gives one argument of a program, with the NUL behind it.
ARGUMENT = 131_072


def refused(**options: Any) -> str:
    """What is said of options that are too much."""
    with pytest.raises(BadRequest) as error:
        check(options)
    assert len(error.value.message) < 400
    return error.value.message


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\U0001f600"])
@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("command", lambda word: ["sh", word]),
        ("entrypoint", lambda word: ["sh", "-c", word]),
        ("healthcheck", lambda word: {"test": ["CMD", "sh", word]}),
        ("healthcheck", lambda word: {"test": ["CMD-SHELL", word]}),
        ("healthcheck", lambda word: {"test": word}),
    ],
)
def test_no_word_is_longer_than_the_kernel_lets_it_be(name: str, wrap: Any, letter: str) -> None:
    assert LONGEST_WORD + 1 == ARGUMENT
    count, rest = divmod(LONGEST_WORD, len(letter.encode()))
    longest = letter * count + "a" * rest
    assert check({name: wrap(longest)}) == {name: wrap(longest)}
    assert f"more than {LONGEST_WORD} bytes" in refused(**{name: wrap(longest + "a")})


def test_no_program_is_longer_than_what_an_error_can_repeat() -> None:
    longest, long = "a" * LONGEST_PROGRAM, "\u00e9" * (LONGEST_PROGRAM // 2) + "a"
    for fine in (longest, [longest]):
        assert check({"command": fine, "entrypoint": fine}) == {"command": [longest], "entrypoint": [longest]}
    assert check({"entrypoint": ["sh"], "command": [long]})["command"] == [long]  # no program, but an argument
    for options in ({"command": long}, {"command": [long]}, {"entrypoint": [long], "command": ["a"]}):
        assert f"over {LONGEST_PROGRAM} bytes" in refused(**options)
    for nothing in ([], [""], ""):  # which is how the image's is taken away
        assert f"over {LONGEST_PROGRAM} bytes" in refused(entrypoint=nothing, command=[long])
    check({"healthcheck": {"test": ["CMD", longest]}})
    assert f"more than {LONGEST_PROGRAM} bytes" in refused(healthcheck={"test": ["CMD", long]})


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("tmpfs", lambda text: {f"/{text[1:]}": ""}),
        ("tmpfs", lambda text: {"/x": f"size={text[5:]}"}),
        ("tmpfs", lambda text: ["/" + text[1:]]),
        ("volumes", lambda text: ["/" + text[1:]]),
        ("volumes", lambda text: {"/x": {"bind": "/" + text[1:]}}),
        ("volumes", lambda text: {"/" + text[1:]: "/x"}),
        ("mounts", lambda text: [{"target": "/" + text[1:]}]),
        ("cpuset_cpus", lambda text: "0" * len(text)),
        *[(name, lambda text: text) for name in ("user", "working_dir", "hostname", "domainname")],
        *[(name, lambda text: [text]) for name in ("dns", "dns_opt", "dns_search", "cap_drop")],
    ],
)
def test_no_other_text_is_longer_than_a_path(name: str, wrap: Any) -> None:
    check({name: wrap("a" * LONGEST_TEXT)})
    assert f"`{name}`" in refused(**{name: wrap("a" * (LONGEST_TEXT + 1))})


@pytest.mark.parametrize("name", ["command", "entrypoint"])
def test_a_long_line_is_not_even_split(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check({name: "sh " + "a" * (LONGEST_LINE - 3)}) == {name: ["sh", "a" * (LONGEST_LINE - 3)]}

    def split(_line: str) -> list[str]:
        raise AssertionError("it was split")

    monkeypatch.setattr("pycloud.runtimes.docker.spec.schema.shlex.split", split)
    for line in ("a" * (LONGEST_LINE + 1), "\u00e9" * (LONGEST_LINE // 2) + "a", "a" * (1 << 20)):
        assert f"more than {LONGEST_LINE} bytes has to be a list" in refused(**{name: line})


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("volumes", lambda count: [f"/{each}" for each in range(count)]),
        ("volumes", lambda count: {f"/{each}": f"/{each}" for each in range(count)}),
        ("mounts", lambda count: [{"target": f"/{each}"} for each in range(count)]),
        ("tmpfs", lambda count: [f"/{each}" for each in range(count)]),
        ("tmpfs", lambda count: {f"/{each}": "" for each in range(count)}),
        ("extra_hosts", lambda count: [f"h{each}:10.0.0.1" for each in range(count)]),
        ("extra_hosts", lambda count: {f"h{each}": "10.0.0.1" for each in range(count)}),
        *[(name, lambda count: ["x"] * count) for name in ("dns", "dns_opt", "dns_search", "cap_drop")],
    ],
)
def test_there_are_only_so_many_entries(name: str, entries: Any) -> None:
    assert len(check({name: entries(MOST_ENTRIES)})[name]) == MOST_ENTRIES
    assert f"(more than {MOST_ENTRIES})" in refused(**{name: entries(MOST_ENTRIES + 1)})


def test_port_and_ports_count_together() -> None:
    half = range(1, MOST_PORTS // 2 + 1)
    same = {"port": list(half), "ports": {str(port): None for port in half}}
    assert set(check(same)) == {"port", "ports"}
    more = {str(port): None for port in range(1000, 1000 + MOST_PORTS // 2)}
    assert set(check({**same, "ports": more})) == {"port", "ports"}
    assert f"more than {MOST_PORTS} together" in refused(port=list(half), ports={**more, "2000": None})


@pytest.mark.parametrize(("name", "most"), [("labels", MOST_LABELS), ("environment", MOST_ENVIRONMENT)])
def test_words_by_name_have_a_size_in_all(name: str, most: int) -> None:
    one = {"A": "x" * (most - 3)}  # with "=" and the end
    several = {f"{each:06}": "" for each in range(most // 8)}
    for value in (one, several, [f"{each}={word}" for each, word in several.items()]):
        assert len(check({name: value})[name]) == len(value)
    for value in ({"A": one["A"] + "x"}, {"A": "\u00e9" * (most // 2)}, {**several, "more": ""}, [*several, "more=x"]):
        assert f"more than {most} bytes in all" in refused(**{name: value})
