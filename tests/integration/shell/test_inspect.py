"""``pycloudctl inspect``: all that is known of a session."""

from __future__ import annotations

import json
from typing import Any

from pycloud.protocol.messages import InspectResponse, ResourceUsage
from pycloud.shell.session_commands.inspect import format_size, inspect_lines
from tests.support.pycloudctl import Shell


def told(shell: Shell, *words: str) -> dict[str, str]:
    """Names and values as they are printed."""
    result = shell.run("inspect", *words)
    assert (result.code, result.err) == (0, "")
    return dict(line.split(": ", 1) for line in result.lines)


def test_inspect(shell: Shell) -> None:
    session = shell.obedient.add()
    shown = {name: value.strip() for name, value in told(shell, session[:8]).items()}
    assert (shown["session"], shown["state"], shown["address"]) == (session, "running", "here:4000")
    assert shown["cpu"] == "97.5 % of one processor, 12.3 s in all"
    assert (shown["memory"], shown["processes"], shown["uptime"]) == ("4.1 MB", "3", "2m")
    assert (shown["pid"], shown["more"]) == ("7", "1")
    answer = json.loads(shell.run("inspect", session, "-o", "json").out)
    assert answer["figures"]["cpu_seconds"] == 12.31
    assert answer["details"] == {"pid": 7, "more": [1]}
    assert shell.run("inspect", session, "-o", "ids").lines == [session]


def test_where_its_cloud_is_away_it_is_what_is_on_record(shell: Shell) -> None:
    session = shell.obedient.add("exited", session="0000000001" + "d" * 10, exit_code="3", runtime="script")
    shown = told(shell, session)
    assert (shown["state"].strip(), shown["exit code"].strip()) == ("exited", "3")
    assert "its cloud is away" in shown["note"]
    assert "is not there" in shown["trouble"]
    answer = json.loads(shell.run("inspect", session, "-o", "json").out)
    assert (answer["stale"], answer["exit_code"], "figures" in answer) == (True, 3, False)


def test_unknown(shell: Shell) -> None:
    for word in ("0" * 10 + "c" * 10, "0" * 10 + "d" * 10, "ff"):
        result = shell.run("inspect", word)
        assert (result.code, result.out) == (3, b"")
        assert word in result.err


def test_what_is_not_known_is_not_shown_and_what_is_new_is() -> None:
    details: dict[str, Any] = {
        "pid": 7,
        "command": ["sh", "-c", "x\x1b"],
        "adopted": False,
        "log_bytes": 2000,
        "new": None,
    }
    response = InspectResponse(
        "c",
        "s",
        status=True,
        state="running",
        created=100.0,
        started=None,
        details=details,
        trouble="the engine is away",
    )
    shown = dict(inspect_lines(response, 160.0))
    assert shown["command"] == "sh -c x\x1b", "made harmless where it is printed"
    assert (shown["adopted"], shown["log bytes"], shown["trouble"]) == ("no", "2.0 kB", "the engine is away")
    assert shown["created"].endswith("(60s ago)")
    assert not {"started", "new", "cpu", "note"} & shown.keys()


def test_an_uptime_that_nobody_knows() -> None:
    figures = ResourceUsage(0.0, 0.0, 0, 1)
    assert dict(inspect_lines(InspectResponse("c", "s", status=True, figures=figures), 0.0))["uptime"] == "-"


def test_sizes() -> None:
    assert [format_size(count) for count in (0, 999, 1000, 4096000, 5e9, 7e15)] == [
        *("0 bytes", "999 bytes", "1.0 kB", "4.1 MB", "5.0 GB", "7000.0 TB"),
    ]
