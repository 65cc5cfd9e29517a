"""How results look: tables for people, JSON and bare ids for programs. Data to stdout, all else to stderr.

Decides nothing about requests. What clouds and scripts say is shown without control characters, which could make a
terminal do anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal, TextIO

from msgspec import UNSET

from pycloud.client import SessionRecord
from pycloud.messages import CreateResponse, StatusResponse
from pycloud.sessions import State

Mode = Literal["table", "json", "ids"]
MODES: tuple[Mode, ...] = ("table", "json", "ids")

HEADINGS = ("SESSION", "NAME", "STATE", "ADDRESS", "AGE", "NOTE")
#: The columns that are there whatever is in them, and those that give way, first to last, where the screen is narrow.
ALWAYS, STATE_COLUMN, FLEXIBLE = (0, 2), 2, (5, 3, 1)
#: The least that is left of such a column.
NARROWEST = 12
GAP = "  "
STALE = "as last known, its cloud is away"
COLOURS = {State.RUNNING: "32", State.STARTING: "33", State.FAILED: "31", State.LOST: "31", State.EXITED: "2"}

Row = tuple[str, str, str, str, str, str]
Described = CreateResponse | StatusResponse | SessionRecord


@dataclass(frozen=True)
class Printer:
    """Where results go, and in which form.

    ``width``: columns of the screen, None where it is none. ``chatty``: somebody sits in front of it. ``speaker``: what
    complaints begin with.
    """

    out: BinaryIO
    err: TextIO
    mode: Mode = "table"
    colour: bool = False
    width: int | None = None
    chatty: bool = False
    speaker: str = ""

    def raw(self, data: bytes) -> None:
        """Data as it is."""
        self.out.write(data)

    def line(self, text: str | bytes) -> None:
        """One line of data."""
        self.out.write((text.encode() if isinstance(text, str) else text) + b"\n")

    def table(self, rows: Sequence[Row]) -> None:
        """Rows below their headings; nothing at all where there are none."""
        if rows:
            for text in layout(rows, self.width, self.colour):
                self.line(text)

    def say(self, text: str) -> None:
        """Something for people: to stderr, after the data so far."""
        self.out.flush()
        tell(self.err, "\n".join(printable(line) for line in text.split("\n")))

    def complain(self, text: str) -> None:
        """Something went wrong."""
        self.say(self.speaker + text)

    def hint(self, text: str) -> None:
        """Something for people at a terminal only."""
        if self.chatty:
            self.say(text)


def tell(err: TextIO, text: str) -> None:
    """Write to people. Where that fails (a full disk, a reader gone) there is nobody left to tell it to."""
    with contextlib.suppress(OSError):
        err.write(text + "\n")
        err.flush()


def row_of(answer: Described, now: float, name: str | None = None) -> Row:
    """One line of a table. ``now`` in Unix seconds; ``name``: where that is known, and the answer does not say it."""
    created = UNSET if isinstance(answer, CreateResponse) else answer.created
    called = name if isinstance(answer, CreateResponse) else answer.name
    return (
        str(answer.id),
        called or "",
        answer.state or "unknown",
        address(answer.host or "", answer.port or None),
        age(now - created) if isinstance(created, float) else "-",
        "" if isinstance(answer, CreateResponse) else note(answer),
    )


def address(host: str, port: int | None) -> str:
    """``host:port``, or what is known of it."""
    return f"{host}:{port}" if host and port else host or "-"


def note(answer: StatusResponse | SessionRecord) -> str:
    """How it ended, and why; and whether that is news at all."""
    code = answer.exit_code
    words = [
        f"exit {code}" if isinstance(code, int) else "",
        answer.reason or "",
        STALE if answer.stale is True else "",
    ]
    return ", ".join(word for word in words if word)


def age(seconds: float) -> str:
    """A duration in one number and one letter, e.g. ``5m``; the clocks of two hosts may make it negative."""
    for letter, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or (letter == "d" and seconds >= size):
            return f"{int(seconds // size)}{letter}"
    return f"{max(0, int(seconds))}s"


def duration(seconds: float) -> str:
    """How long something took, e.g. ``12 ms`` or ``3.4 s``."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def printable(text: str) -> str:
    """The text with ``?`` for everything that a terminal might obey."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def layout(rows: Sequence[Row], width: int | None, colour: bool) -> Iterable[str]:
    """The lines of a table; columns of which all cells are empty are left out."""
    cells = [HEADINGS, *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADINGS))]
    used = [i for i in range(len(HEADINGS)) if any(row[i] not in ("", "-") for row in cells[1:]) or i in ALWAYS]
    if width is not None:
        _squeeze(widths, used, width)
    for number, row in enumerate(cells):
        shown = {i: _cut(row[i], widths[i]).ljust(widths[i]) for i in used}
        if colour and number:
            shown[STATE_COLUMN] = _coloured(shown[STATE_COLUMN], row[STATE_COLUMN])
        yield GAP.join(shown.values()).rstrip()


def wants_colour(environ: Mapping[str, str], is_terminal: bool, refused: bool) -> bool:
    """Whether to colour: on a terminal that can, where nobody said no."""
    return is_terminal and not refused and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _squeeze(widths: list[int], used: Sequence[int], limit: int) -> None:
    """Take from the flexible columns what does not fit."""
    for column in FLEXIBLE:
        excess = sum(widths[i] for i in used) + len(GAP) * (len(used) - 1) - limit
        if excess > 0 and column in used:
            widths[column] = max(min(NARROWEST, widths[column]), widths[column] - excess)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _coloured(text: str, state: str) -> str:
    code = next((code for known, code in COLOURS.items() if known == state), None)
    return f"\x1b[{code}m{text}\x1b[0m" if code else text
