"""An event as one line of text. Pure."""

from __future__ import annotations

from datetime import datetime

from pycloud.protocol.messages import Event
from pycloud.shell.terminal.output import SHORT_ID_LENGTH, printable

#: Widths of all columns but the last, for usual values: lines are printed before later values are known.
WIDTHS = (19, 16, 10, 20)
#: On a terminal with fewer columns the year is left out, to make room for an exit code.
WIDE_SCREEN, YEAR_WIDTH = 100, len("2026-")
HEADINGS = ("TIME", "EVENT", "NODE", "SESSION", "NOTE")
EVENT_COLOURS = {
    "session.running": "32",
    "session.starting": "33",
    "session.failed": "31",
    "session.lost": "31",
    "cloud.up": "32",
    "cloud.down": "31",
    "cloud.draining": "33",
}


def headings_line(width: int | None) -> str:
    """The headings above events, for ``width`` columns (None: no limit)."""
    return _columns(HEADINGS, width)


def event_line(event: Event, width: int | None, colour: bool) -> str:
    """An event as one line of at most ``width`` columns (None: no limit)."""
    try:
        when = datetime.fromtimestamp(event.time).isoformat(" ", "seconds")[_omitted_prefix(width) :]
    except (ValueError, OverflowError, OSError):
        when = "-"
    cells = (when, event.event, event.cloud, _session_cell(event), note(event))
    line = _columns(tuple(printable(cell) for cell in cells), width)
    if width is not None and len(line) > width:
        line = line[: width - 1] + "…"
    code = EVENT_COLOURS.get(event.event)
    return f"\x1b[{code}m{line}\x1b[0m" if colour and code else line


def _session_cell(event: Event) -> str:
    """The session's id; where it has a name, the beginning of the id and the name, so that both have room."""
    if event.session and event.name:
        return f"{event.session[:SHORT_ID_LENGTH]} {event.name}"
    return event.session or "-"


def note(event: Event) -> str:
    """Exit code, reason, image and progress of an event, as far as it has them."""
    code, done = event.exit_code, event.done
    share = f" ({done:.0%})" if isinstance(done, float) else ""
    words = [f"exit {code}" if isinstance(code, int) else "", event.reason or "", event.image or ""]
    progress = f"{event.progress}{share}" if event.progress else ""
    return ", ".join(word for word in (*words, progress) if word)


def _columns(cells: tuple[str, ...], width: int | None) -> str:
    widths = (WIDTHS[0] - _omitted_prefix(width), *WIDTHS[1:])
    return "  ".join((*(cell.ljust(room) for cell, room in zip(cells, widths, strict=False)), cells[-1])).rstrip()


def _omitted_prefix(width: int | None) -> int:
    """Number of characters left out at the beginning of the time, for a terminal of ``width`` columns."""
    return YEAR_WIDTH if width is not None and width < WIDE_SCREEN else 0
