"""How long and how many: what a request may ask for without wearing out the host, the engine or other requesters."""

from __future__ import annotations

from typing import Any

import pytest

from pycloud.errors import BadRequest
from pycloud.runtimes.docker.spec.options import (
    MAX_ENTRIES,
    MAX_ENVIRONMENT_BYTES,
    MAX_LABELS_BYTES,
    MAX_PORTS,
    MAX_PROGRAM_BYTES,
    validate_options,
)
from pycloud.runtimes.docker.spec.schema import MAX_ARGUMENT_BYTES, MAX_COMMAND_LINE_BYTES, MAX_TEXT_BYTES

#: What the kernel gives one argument of a program, with the NUL behind it.
ARGUMENT = 131_072


def refused(**options: Any) -> str:
    """What is said of options that are too much."""
    with pytest.raises(BadRequest) as error:
        validate_options(options)
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
    assert MAX_ARGUMENT_BYTES + 1 == ARGUMENT
    count, rest = divmod(MAX_ARGUMENT_BYTES, len(letter.encode()))
    longest = letter * count + "a" * rest
    assert validate_options({name: wrap(longest)}) == {name: wrap(longest)}
    assert f"more than {MAX_ARGUMENT_BYTES} bytes" in refused(**{name: wrap(longest + "a")})


def test_no_program_is_longer_than_what_an_error_can_repeat() -> None:
    longest, long = "a" * MAX_PROGRAM_BYTES, "\u00e9" * (MAX_PROGRAM_BYTES // 2) + "a"
    for fine in (longest, [longest]):
        assert validate_options({"command": fine, "entrypoint": fine}) == {
            "command": [longest],
            "entrypoint": [longest],
        }
    assert validate_options({"entrypoint": ["sh"], "command": [long]})["command"] == [
        long
    ]  # no program, but an argument
    for options in ({"command": long}, {"command": [long]}, {"entrypoint": [long], "command": ["a"]}):
        assert f"over {MAX_PROGRAM_BYTES} bytes" in refused(**options)
    for nothing in ([], [""], ""):  # which is how the image's is taken away
        assert f"over {MAX_PROGRAM_BYTES} bytes" in refused(entrypoint=nothing, command=[long])
    validate_options({"healthcheck": {"test": ["CMD", longest]}})
    assert f"more than {MAX_PROGRAM_BYTES} bytes" in refused(healthcheck={"test": ["CMD", long]})


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
    validate_options({name: wrap("a" * MAX_TEXT_BYTES)})
    assert f"`{name}`" in refused(**{name: wrap("a" * (MAX_TEXT_BYTES + 1))})


@pytest.mark.parametrize("name", ["command", "entrypoint"])
def test_a_long_line_is_not_even_split(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert validate_options({name: "sh " + "a" * (MAX_COMMAND_LINE_BYTES - 3)}) == {
        name: ["sh", "a" * (MAX_COMMAND_LINE_BYTES - 3)]
    }

    def split(_line: str) -> list[str]:
        raise AssertionError("it was split")

    monkeypatch.setattr("pycloud.runtimes.docker.spec.schema.shlex.split", split)
    for line in ("a" * (MAX_COMMAND_LINE_BYTES + 1), "\u00e9" * (MAX_COMMAND_LINE_BYTES // 2) + "a", "a" * (1 << 20)):
        assert f"more than {MAX_COMMAND_LINE_BYTES} bytes has to be a list" in refused(**{name: line})


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
    assert len(validate_options({name: entries(MAX_ENTRIES)})[name]) == MAX_ENTRIES
    assert f"(more than {MAX_ENTRIES})" in refused(**{name: entries(MAX_ENTRIES + 1)})


def test_port_and_ports_count_together() -> None:
    half = range(1, MAX_PORTS // 2 + 1)
    same = {"port": list(half), "ports": {str(port): None for port in half}}
    assert set(validate_options(same)) == {"port", "ports"}
    more = {str(port): None for port in range(1000, 1000 + MAX_PORTS // 2)}
    assert set(validate_options({**same, "ports": more})) == {"port", "ports"}
    assert f"more than {MAX_PORTS} together" in refused(port=list(half), ports={**more, "2000": None})


@pytest.mark.parametrize(("name", "most"), [("labels", MAX_LABELS_BYTES), ("environment", MAX_ENVIRONMENT_BYTES)])
def test_words_by_name_have_a_size_in_all(name: str, most: int) -> None:
    one = {"A": "x" * (most - 3)}  # with "=" and the end
    several = {f"{each:06}": "" for each in range(most // 8)}
    for value in (one, several, [f"{each}={word}" for each, word in several.items()]):
        assert len(validate_options({name: value})[name]) == len(value)
    for value in ({"A": one["A"] + "x"}, {"A": "\u00e9" * (most // 2)}, {**several, "more": ""}, [*several, "more=x"]):
        assert f"more than {most} bytes in all" in refused(**{name: value})
