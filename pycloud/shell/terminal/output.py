"""How results look: tables for people, JSON and bare ids for programs. Data to stdout, all else to stderr.

Decides nothing about requests. What clouds and scripts say is shown without control characters, which could make a
terminal do anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, TextIO

from pycloud.client import SessionRecord
from pycloud.protocol.messages import CreateResponse, StatusResponse
from pycloud.protocol.session import State

Mode = Literal["table", "json", "ids"]
MODES: tuple[Mode, ...] = ("table", "json", "ids")

#: As much of a session's id as is shown where there is no room for all of it: unique among thousands.
SHORT = 8

HEADINGS = ("SESSION", "NAME", "STATE", "ADDRESS", "AGE", "NOTE")
#: The columns that are there whatever is in them, and those that give way, first to last, where the screen is narrow.
ALWAYS, STATE_COLUMN, FLEXIBLE = (0, 2), 2, (5, 3, 1)
#: The least that is left of such a column.
NARROWEST = 12
GAP = "  "
STALE = "as last known, its cloud is away"
COLOURS = {State.RUNNING: "32", State.STARTING: "33", State.FAILED: "31", State.LOST: "31", State.EXITED: "2"}

Row = tuple[str, str, str, str, str, str]


@dataclass(frozen=True)
class Shape:
    """A table: its headings, which columns are there whatever is in them, and the one whose words have colours.

    Where the screen is narrow, the columns in ``flexible`` give way, and then those in ``spare`` go, first to last.
    """

    headings: tuple[str, ...]
    always: tuple[int, ...]
    flexible: tuple[int, ...]
    coloured: int
    colours: Mapping[Any, str]
    spare: tuple[int, ...] = ()


SESSIONS = Shape(HEADINGS, ALWAYS, FLEXIBLE, STATE_COLUMN, COLOURS)
Described = CreateResponse | StatusResponse | SessionRecord


@dataclass(frozen=True)
class Printer:
    """Where results go, and in which form.

    ``width``: columns of the screen, None where it is none. ``chatty``: somebody sits in front of it. ``speaker``: what
    complaints begin with. ``redraws``: what was written to the screen can be written over, ``shows_progress``: the same
    for what people are told.
    """

    out: BinaryIO
    err: TextIO
    mode: Mode = "table"
    colour: bool = False
    width: int | None = None
    chatty: bool = False
    speaker: str = ""
    redraws: bool = False
    shows_progress: bool = False

    def raw(self, data: bytes) -> None:
        """Data as it is."""
        self.out.write(data)

    def line(self, text: str | bytes) -> None:
        """One line of data."""
        self.out.write((text.encode() if isinstance(text, str) else text) + b"\n")

    def table(self, rows: Sequence[tuple[str, ...]], shape: Shape = SESSIONS) -> None:
        """Rows below their headings; nothing at all where there are none."""
        if rows:
            for text in layout(rows, self.width, self.colour, shape):
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


def tell(err: TextIO, text: str, end: str = "\n") -> None:
    """Write to people. Where that fails (a full disk, a reader gone) there is nobody left to tell it to."""
    with contextlib.suppress(OSError):
        err.write(text + end)
        err.flush()


def row_of(answer: Described, now: float, name: str | None = None) -> Row:
    """One line of a table. ``now`` in Unix seconds; ``name``: where that is known, and the answer does not say it."""
    if isinstance(answer, CreateResponse):
        called, lived, remark = name, "-", ""
    else:
        called, remark = answer.name or "", note(answer)
        lived = age(now - answer.created) if isinstance(answer.created, float) else "-"
    return (
        str(answer.id),
        called or "",
        answer.state or "unknown",
        address(answer.host or "", answer.port or None),
        lived,
        remark,
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


def layout(rows: Sequence[tuple[str, ...]], width: int | None, colour: bool, shape: Shape = SESSIONS) -> Iterable[str]:
    """The lines of a table; columns of which all cells are empty are left out."""
    # Column by column: of ten thousand rows, the same is done to all cells of a column at once.
    columns = [(heading, *_printable(cells)) for heading, *cells in zip(shape.headings, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    used = [i for i, column in enumerate(columns) if i in shape.always or not {"", "-"}.issuperset(column[1:])]
    if width is not None:
        used = _squeeze(widths, used, width, shape)
    shown = {i: _fitted(columns[i], widths[i]) for i in used}
    if colour:
        shown[shape.coloured] = _coloured(shown[shape.coloured], columns[shape.coloured], shape.colours)
    for cells in zip(*shown.values(), strict=True):
        yield GAP.join(cells).rstrip()


def wants_colour(environ: Mapping[str, str], is_terminal: bool, refused: bool) -> bool:
    """Whether to colour: on a terminal that can, where nobody said no."""
    return is_terminal and not refused and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _squeeze(widths: list[int], used: Sequence[int], limit: int, shape: Shape) -> list[int]:
    """Take from the flexible columns what does not fit; the columns that are left."""
    left = list(used)

    def excess() -> int:
        return sum(widths[i] for i in left) + len(GAP) * (len(left) - 1) - limit

    for column in shape.flexible:
        if column in left and (more := excess()) > 0:
            widths[column] = max(min(NARROWEST, widths[column]), widths[column] - more)
    for column in shape.spare:
        if column in left and excess() > 0:
            left.remove(column)
    return left


def _printable(cells: Sequence[str]) -> Iterable[str]:
    """One look at all of them: hardly ever is there one that a terminal might obey."""
    return cells if "".join(cells).isprintable() else map(printable, cells)


def _fitted(cells: Iterable[str], width: int) -> Iterator[str]:
    return (cell.ljust(width) if len(cell) <= width else cell[: width - 1] + "…" for cell in cells)


def _coloured(shown: Iterator[str], words: Iterable[str], colours: Mapping[Any, str]) -> Iterator[str]:
    """Each cell in the colour of its word; the heading is in none."""
    codes = {str(known): code for known, code in colours.items()}
    for number, (text, word) in enumerate(zip(shown, words, strict=True)):
        yield f"\x1b[{codes[word]}m{text}\x1b[0m" if number and word in codes else text
