"""docs/pycloudctl.md tells the truth: lines can be typed, tables agree with the program, promises have tests."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from pycloud.client import SessionRecord
from pycloud.protocol.messages import (
    CreateResponse,
    DrainResponse,
    Event,
    InspectResponse,
    LogsResponse,
    RemoveResponse,
    StatusResponse,
    StreamEnd,
    StreamOutput,
    StreamSkipped,
)
from pycloud.shell.dispatch.manpage import ENVIRONMENT
from pycloud.shell.dispatch.parser import Grammar
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.node_commands.findings import Finding
from pycloud.shell.node_commands.nodes import NodeRow
from pycloud.shell.prompt.history import history_file
from pycloud.shell.terminal.exit_codes import EXIT_CODE_MEANINGS
from tests.support.command_lines import words_of
from tests.support.daemon import ROOT

PAGE = (ROOT / "docs" / "pycloudctl.md").read_text(encoding="utf-8")
TYPED = re.findall(r"^\$ (pycloudctl .*)$", PAGE, re.MULTILINE)
#: What is no word of the command, but of the shell around it.
REDIRECTED = re.compile(r" > \S+")
#: By the beginning of a row of the table; the first row of three says what ``logs -f`` prints.
LINES: dict[str, type[msgspec.Struct]] = {
    "| `create` |": CreateResponse,
    "| `status` |": StatusResponse,
    "| `remove` |": RemoveResponse,
    "| `list` |": SessionRecord,
    "| `inspect` |": InspectResponse,
    "| `logs` |": LogsResponse,
    "| `logs -f`,": StreamOutput,
    "| | skipped output |": StreamSkipped,
    "| | the end |": StreamEnd,
    "| `nodes` |": NodeRow,
    "| `drain`, `undrain` |": DrainResponse,
    "| `events` |": Event,
}


def section(heading: str) -> str:
    """What stands below a heading."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def keys_of(row: str) -> tuple[set[str], set[str]]:
    """Those that are always there, and the others, of the row of the table that begins so."""
    (line,) = (line for line in section("JSON").splitlines() if line.startswith(row))
    always, also = (set(re.findall(r"`(\w+)`", cell)) for cell in line.split("|")[3:5])
    if "as `status`" in line:
        also = also - {"status"} | keys_of("| `status` |")[1]
    return always, also


@pytest.mark.parametrize("line", TYPED)
def test_lines_can_be_typed(line: str) -> None:
    words = words_of(REDIRECTED.sub("", line), "pycloudctl")
    assert words
    assert Grammar(interactive=False).parse(words).command == words[0]


def test_every_command_is_shown_or_told() -> None:
    assert [row.name for row in COMMANDS if not re.search(rf"(`|pycloudctl ){row.name}\b", PAGE)] == []


def test_every_promise_has_a_test_that_bears_its_number() -> None:
    promised = [int(number) for number in re.findall(r"^(\d+)\. ", section("What you can expect"), re.MULTILINE)]
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*/shell/**/test_*.py"))
    kept = {int(number) for number in re.findall(r"^def test_ux_(\d\d)_", tests, re.MULTILINE)}

    assert promised == list(range(1, 20))
    assert kept == set(promised)


def test_exit_codes() -> None:
    told = dict(re.findall(r"^\| (\d+) \| (.*) \|$", section("Exit codes"), re.MULTILINE))
    assert told == {str(int(code)): meaning for code, meaning in EXIT_CODE_MEANINGS.items()}


@pytest.mark.parametrize("row", LINES)
def test_keys_of_json(row: str) -> None:
    kind = LINES[row]
    tag = {kind.__struct_config__.tag_field} - {None}
    known = msgspec.structs.fields(kind)
    required = {field.name for field in known if field.required}

    assert keys_of(row) == (required | tag, {field.name for field in known} - required)


def test_keys_of_findings() -> None:
    assert keys_of("| `doctor` |") == ({field.name for field in fields(Finding)}, set())


def test_variables() -> None:
    told = section("Environment")
    assert [name for name in ENVIRONMENT if f"`{name}`" not in told] == []
    history = str(history_file({}, Path("~")).relative_to("~/.local/state"))
    assert f"`{history}`" in told
    assert history in ENVIRONMENT["XDG_STATE_HOME"]
