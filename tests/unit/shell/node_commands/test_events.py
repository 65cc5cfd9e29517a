"""The line that ``events`` prints for an event."""

from __future__ import annotations

import msgspec

from pycloud.protocol.messages import Event
from pycloud.shell.base.event_line import event_line, note

SESSION = "0123456789cccccccccc"
EXITED = Event("session.exited", "cccccccccc", 1795471990.1, session=SESSION, exit_code=3, reason="\x1b[2J")


def test_a_line_fits_the_screen_and_obeys_nothing() -> None:
    assert note(EXITED) == "exit 3, \x1b[2J"
    assert "\x1b" not in event_line(EXITED, None, colour=False)
    assert len(event_line(EXITED, 60, colour=False)) == 60
    named = Event("session.exited", "cccccccccc", 1795471990.1, session=SESSION, exit_code=3, name="web")
    assert event_line(named, 100, colour=False).endswith("  01234567 web          exit 3")
    killed = msgspec.structs.replace(EXITED, exit_code=143, reason=None)
    assert event_line(killed, 80, colour=False).endswith("session.exited    cccccccccc  0123456789cccccccccc  exit 143")
    assert event_line(killed, 80, colour=False)[2] == event_line(killed, 100, colour=False)[7] == "-"
    pulling = Event("session.pulling", "c", 1e300, image="i", progress="1 of 2 MB", done=0.5)
    assert event_line(pulling, None, colour=True).endswith("i, 1 of 2 MB (50%)")
    assert event_line(pulling, None, colour=True).startswith("-")
