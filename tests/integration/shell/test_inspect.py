"""``pycloudctl inspect``: all that is known of a session."""

from __future__ import annotations

import json

from tests.support.pycloudctl import Shell


def inspected(shell: Shell, *words: str) -> dict[str, str]:
    """Names and values as they are printed."""
    result = shell.run("inspect", *words)
    assert (result.code, result.err) == (0, "")
    return dict(line.split(": ", 1) for line in result.lines)


def test_inspect(shell: Shell) -> None:
    session = shell.obedient.add()
    shown = {name: value.strip() for name, value in inspected(shell, session[:8]).items()}
    assert (shown["session"], shown["state"], shown["address"]) == (session, "running", "here:4000")
    assert shown["cpu"] == "97.5 % of one processor, 12.3 s in total"
    assert (shown["memory"], shown["processes"], shown["uptime"]) == ("4.1 MB", "3", "2m")
    assert (shown["pid"], shown["more"]) == ("7", "1")
    answer = json.loads(shell.run("inspect", session, "-o", "json").out)
    assert answer["figures"]["cpu_seconds"] == 12.31
    assert answer["details"] == {"pid": 7, "more": [1]}
    assert shell.run("inspect", session, "-o", "ids").lines == [session]


def test_where_its_cloud_is_away_it_is_what_is_on_record(shell: Shell) -> None:
    session = shell.obedient.add("exited", session="0000000001" + "d" * 10, exit_code="3", runtime="script")
    shown = inspected(shell, session)
    assert (shown["state"].strip(), shown["exit code"].strip()) == ("exited", "3")
    assert "its node is offline" in shown["note"]
    assert "is offline, and only it can answer this" in shown["trouble"]
    answer = json.loads(shell.run("inspect", session, "-o", "json").out)
    assert (answer["stale"], answer["exit_code"], "figures" in answer) == (True, 3, False)


def test_unknown(shell: Shell) -> None:
    for word in ("0" * 10 + "c" * 10, "0" * 10 + "d" * 10, "ff"):
        result = shell.run("inspect", word)
        assert (result.code, result.out) == (3, b"")
        assert word in result.err
