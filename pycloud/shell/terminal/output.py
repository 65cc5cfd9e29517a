"""Output formats: tables for users, JSON and bare ids for programs. Data goes to stdout, messages to stderr.

Contains no logic about requests. Text from nodes and scripts is shown without control characters, because a terminal
would execute them.
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

#: Characters of a session id that are shown where the full id has no room: unique among thousands of sessions.
SHORT_ID_LENGTH = 8

HEADINGS = ("SESSION", "NAME", "STATE", "ADDRESS", "AGE", "NOTE")
#: Indices of columns: those shown even if empty, that of the state, and those that shrink, first to last.
ALWAYS_SHOWN, STATE_COLUMN, FLEXIBLE = (0, 2), 2, (5, 3, 1)
#: Minimum width of a column that shrinks.
MIN_COLUMN_WIDTH = 12
GAP = "  "
NODE_OFFLINE = "its node is offline"
STALE_NOTE = f"last known state, {NODE_OFFLINE}"
NO_SESSIONS_MATCH, NO_NODES_MATCH = "No sessions match.", "No nodes match."
STATE_COLOURS = {State.RUNNING: "32", State.STARTING: "33", State.FAILED: "31", State.LOST: "31", State.EXITED: "2"}

Row = tuple[str, str, str, str, str, str]


@dataclass(frozen=True)
class ColumnLayout:
    """The layout of a table; columns are given by index. ``always_shown``: shown even if empty. ``colours``: the colour
    (SGR code) for each word of ``colour_column``.

    On a narrow screen the columns ``flexible`` shrink, then those in ``droppable`` are left out, first to last.
    """

    headings: tuple[str, ...]
    always_shown: tuple[int, ...]
    flexible: tuple[int, ...]
    colour_column: int
    colours: Mapping[Any, str]
    droppable: tuple[int, ...] = ()


SESSION_COLUMNS = ColumnLayout(HEADINGS, ALWAYS_SHOWN, FLEXIBLE, STATE_COLUMN, STATE_COLOURS)
SessionResult = CreateResponse | StatusResponse | SessionRecord


@dataclass(frozen=True)
class Printer:
    """The streams for results and messages, and the format of the results.

    ``width``: columns of the terminal, None where ``out`` is not one. ``interactive``: both streams are terminals, so
    hints are shown. ``error_prefix``: prefix of error messages. ``redraws``: text on ``out`` can be overwritten;
    ``shows_progress``: the same for ``err``.
    """

    out: BinaryIO
    err: TextIO
    mode: Mode = "table"
    colour: bool = False
    width: int | None = None
    interactive: bool = False
    error_prefix: str = ""
    redraws: bool = False
    shows_progress: bool = False

    def raw(self, data: bytes) -> None:
        """Write data unchanged to ``out``."""
        self.out.write(data)

    def line(self, text: str | bytes) -> None:
        """Write one line of data to ``out``."""
        self.out.write((text.encode() if isinstance(text, str) else text) + b"\n")

    def table(self, rows: Sequence[tuple[str, ...]], columns: ColumnLayout = SESSION_COLUMNS) -> None:
        """Write a table with headings to ``out``; writes nothing where ``rows`` is empty."""
        if rows:
            for text in layout(rows, self.width, self.colour, columns):
                self.line(text)

    def notice(self, text: str) -> None:
        """Write a message for users to ``err``, after flushing ``out``."""
        self.out.flush()
        write_message(self.err, "\n".join(printable(line) for line in text.split("\n")))

    def error(self, text: str) -> None:
        """Write an error message to ``err``."""
        self.notice(self.error_prefix + text)

    def hint(self, text: str) -> None:
        """Write a message to ``err`` if ``interactive``."""
        if self.interactive:
            self.notice(text)


def write_message(err: TextIO, text: str, end: str = "\n") -> None:
    """Write ``text`` to ``err``. Failures (a full disk, a closed pipe) are ignored: they cannot be reported."""
    with contextlib.suppress(OSError):
        err.write(text + end)
        err.flush()


def session_row(response: SessionResult, now: float, name: str | None = None) -> Row:
    """One row of the session table. ``now``: Unix seconds. ``name``: the session's name, for a response without one."""
    if isinstance(response, CreateResponse):
        shown_name, age_text, note_text = name, "-", ""
    else:
        shown_name, note_text = response.name or "", note(response)
        age_text = age(now - response.created) if isinstance(response.created, float) else "-"
    return (
        str(response.id),
        shown_name or "",
        response.state or "unknown",
        address(response.host or "", response.port or None),
        age_text,
        note_text,
    )


def address(host: str, port: int | None) -> str:
    """``host:port``; the host alone where the port is unknown or 0, ``-`` where the host is unknown."""
    return f"{host}:{port}" if host and port else host or "-"


def note(response: StatusResponse | SessionRecord) -> str:
    """Exit code, reason, and a remark on a stale record, as far as they apply."""
    code = response.exit_code
    words = [
        f"exit {code}" if isinstance(code, int) else "",
        response.reason or "",
        STALE_NOTE if response.stale is True else "",
    ]
    return ", ".join(word for word in words if word)


def age(seconds: float) -> str:
    """A duration in seconds for a column, e.g. ``5m``. A negative one (clock skew between hosts) is shown as ``0s``."""
    count, unit = _largest_unit(seconds)
    return f"{count}{unit[0]}"


def elapsed(seconds: float) -> str:
    """A duration in seconds for a sentence, e.g. ``5 min``."""
    count, unit = _largest_unit(seconds)
    return f"{count} {unit}"


def _largest_unit(seconds: float) -> tuple[int, str]:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "d" and seconds >= size):
            return int(seconds // size), unit
    return max(0, int(seconds)), "s"


def duration(seconds: float) -> str:
    """A duration in seconds as text, e.g. ``12 ms`` or ``3.4 s``."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def format_size(count: float) -> str:
    """A number of bytes as text, with units of powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def bar(share: float, width: int, full: str, empty: str, half: str = "") -> str:
    """A bar of ``width`` columns for a share from 0 to 1, to half a column where there is a character for ``half``."""
    steps = 2 if half else 1
    filled = round(min(1.0, max(0.0, share)) * width * steps)
    return (full * (filled // steps) + half * (filled % steps)).ljust(width, empty)


def printable(text: str) -> str:
    """The text with ``?`` in place of each character that is not printable (control characters)."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def layout(
    rows: Sequence[tuple[str, ...]], width: int | None, colour: bool, column_layout: ColumnLayout = SESSION_COLUMNS
) -> Iterable[str]:
    """The lines of a table, headings first, for ``width`` columns (None: no limit). Empty columns are left out."""
    # Column by column: for ten thousand rows it is faster to process all cells of a column at once.
    columns = [(heading, *_printable(cells)) for heading, *cells in zip(column_layout.headings, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    used = [
        i for i, column in enumerate(columns) if i in column_layout.always_shown or not {"", "-"}.issuperset(column[1:])
    ]
    if width is not None:
        used = _fit_columns(widths, used, width, column_layout)
    shown = {i: _fitted(columns[i], widths[i]) for i in used}
    if colour:
        shown[column_layout.colour_column] = _coloured(
            shown[column_layout.colour_column], columns[column_layout.colour_column], column_layout.colours
        )
    for cells in zip(*shown.values(), strict=True):
        yield GAP.join(cells).rstrip()


def wants_colour(environ: Mapping[str, str], is_terminal: bool, disabled: bool) -> bool:
    """Whether to use colours: on a terminal with colours, unless the flag or NO_COLOR disables them."""
    return is_terminal and not disabled and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _fit_columns(widths: list[int], used: Sequence[int], limit: int, column_layout: ColumnLayout) -> list[int]:
    """Shrink (in ``widths``) and drop columns to fit a row into ``limit`` as far as possible; returns the rest."""
    kept_columns = list(used)

    def excess() -> int:
        return sum(widths[i] for i in kept_columns) + len(GAP) * (len(kept_columns) - 1) - limit

    for column in column_layout.flexible:
        if column in kept_columns and (more := excess()) > 0:
            widths[column] = max(min(MIN_COLUMN_WIDTH, widths[column]), widths[column] - more)
    for column in column_layout.droppable:
        if column in kept_columns and excess() > 0:
            kept_columns.remove(column)
    return kept_columns


def _printable(cells: Sequence[str]) -> Iterable[str]:
    """``printable`` for all cells. One check of the joined text is enough in most cases."""
    return cells if "".join(cells).isprintable() else map(printable, cells)


def _fitted(cells: Iterable[str], width: int) -> Iterator[str]:
    return (cell.ljust(width) if len(cell) <= width else cell[: width - 1] + "…" for cell in cells)


def _coloured(shown: Iterator[str], words: Iterable[str], colours: Mapping[Any, str]) -> Iterator[str]:
    """Each cell in the colour of its word; the heading is not coloured."""
    codes = {str(state): code for state, code in colours.items()}
    for number, (text, word) in enumerate(zip(shown, words, strict=True)):
        yield f"\x1b[{codes[word]}m{text}\x1b[0m" if number and word in codes else text
