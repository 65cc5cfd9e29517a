"""``pycloudctl config show``: each setting, and where it came from."""

from __future__ import annotations

import json

from tests.support.pycloudctl import Shell


def test_passwords_are_hidden(shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = "redis://me:sesame@nowhere.test:1/0"
    for words in ((), ("-o", "json"), ("--redis", "redis://:sesame@nowhere.test:2/0?password=sesame")):
        result = shell.run("config", "show", *words)
        assert (result.code, result.err) == (0, "")
        assert b"sesame" not in result.out
        assert b"nowhere.test" in result.out


def test_it_shows_what_the_program_uses(shell: Shell) -> None:
    lines = shell.run("config", "show", "--timeout", "3").lines
    assert [line.split() for line in lines] == [
        ["redis", shell.url, "variable", "PYCLOUD_REDIS_URL"],
        ["namespace", shell.node.names.namespace, "variable", "PYCLOUD_NAMESPACE"],
        ["timeout", "3", "flag", "--timeout"],
    ]
    rows = [json.loads(line) for line in shell.run("--namespace", "x", "config", "show", "-o", "json").lines]
    assert rows[1] == {"name": "namespace", "value": "x", "source": "flag --namespace"}


def test_flags_of_the_start_hold_for_every_line(shell: Shell) -> None:
    result = shell.run("--namespace", "x", stdin=b"config show\n")

    assert "flag --namespace" in result.lines[1]


def test_it_needs_no_redis_and_a_word(shell: Shell) -> None:
    assert shell.run("config", "show", "--redis", "redis://127.0.0.1:1").code == 0
    assert shell.run("config").code == 2
    assert "show" in shell.run("config", "shwo").err
