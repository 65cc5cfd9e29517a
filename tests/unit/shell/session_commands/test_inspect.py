"""The lines that ``inspect`` prints."""

from __future__ import annotations

from typing import Any

from pycloud.protocol.messages import InspectResponse, ResourceUsage
from pycloud.shell.session_commands.inspect import inspect_lines


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
