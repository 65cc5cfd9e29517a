"""What happens elsewhere is told above the prompt, and spoils nothing there."""

from __future__ import annotations

import re

from pycloud.protocol.messages import Event
from pycloud.shell.prompt.notifications import (
    MAX_INDIVIDUAL,
    MAX_QUEUED,
    OWN_EVENT_WINDOW,
    NotificationQueue,
    events_summary,
)
from tests.support.pycloudctl import Shell
from tests.support.terminal import CTRL_C, ENTER, Screen
from tests.support.waiting import wait_until

SESSION = "f000000001cccccccccc"
OTHER = "f000000002cccccccccc"


def event(kind: str = "session.running", session: str = SESSION) -> Event:
    return Event(kind, "cccccccccc", 1795471990.1, session=session)


def watched(shell: Shell, screen: Screen) -> None:
    """Wait until events are told: until one that is told again and again was seen."""

    def told() -> bool:
        shell.tell({"event": "cloud.up"})
        return "cloud.up" in screen.text

    wait_until(told, 20, lambda: screen.text)


def test_few_are_told_one_by_one_and_many_summed_up() -> None:
    desk = NotificationQueue()
    assert desk.seconds_until_due(0.0) is None
    desk.add([event()] * MAX_INDIVIDUAL)
    assert desk.seconds_until_due(0.0) == 0.0
    assert desk.take(0.0) == ([event()] * MAX_INDIVIDUAL, {})
    desk.add([event()] * 990 + [event("session.failed")] * 10)
    assert desk.seconds_until_due(0.25) == 0.75
    events, counted = desk.take(1.0)
    assert events == []
    assert (
        events_summary(counted)
        == "1,000 events: session.running 990, session.failed 10. `events` tells them one by one"
    )
    assert desk.seconds_until_due(9.0) is None


def test_what_is_waiting_is_bounded() -> None:
    desk = NotificationQueue()
    for _ in range(100):
        desk.add([event()] * MAX_QUEUED)
    assert len(desk._queued) == MAX_QUEUED


def test_what_a_command_did_itself_is_no_news_for_a_moment() -> None:
    desk = NotificationQueue()
    desk.add([event()])
    desk.suppress_own({SESSION}, 10.0)
    desk.add([event(session=OTHER)])
    assert desk.take(10.1) == ([event(session=OTHER)], {})
    desk.add([event("session.exited")])
    assert desk.take(10.0 + OWN_EVENT_WINDOW)[0] == [event("session.exited")]


def test_a_cloud_that_was_told_to_drain_here_is_no_news_but_its_end_is() -> None:
    desk = NotificationQueue()
    drained, down = (Event(name, "cccccccccc", 1.0) for name in ("cloud.draining", "cloud.down"))
    desk.add([drained, down])
    desk.suppress_own({"cccccccccc"}, 10.0)
    assert desk.take(10.1) == ([down], {})
    desk.add([drained])
    assert desk.take(10.0 + OWN_EVENT_WINDOW)[0] == [drained], "somebody else has told it"


def test_ux_09_a_half_typed_line_stays_as_it_is(shell: Shell, screen: Screen) -> None:
    watched(shell, screen)
    screen.type("remove everyth")
    screen.shows("pycloud> remove everyth")
    shell.tell({"event": "session.failed", "session": SESSION, "reason": "no such interpreter\x1b[2J"})
    text = screen.shows("session.failed", "interpreter")
    assert screen.line == "pycloud> remove everyth"
    assert "interpreter?[2J" in text, "nothing is cut off, and nothing obeyed"
    assert text.index("session.failed") < text.index("remove everyth")
    screen.type("ing" + CTRL_C)
    screen.shows("pycloud> remove everything")


def test_a_burst_becomes_a_line(shell: Shell, screen: Screen) -> None:
    watched(shell, screen)
    shell.tell(*({"event": "session.exited", "session": SESSION, "exit_code": 0} for _ in range(1000)))

    def summed_up() -> int:
        numbers = re.findall(r"([\d,]+) events: .*?session\.exited ([\d,]+)", screen.text.replace("\n", " "))
        return sum(int(number.replace(",", "")) for _all, number in numbers)

    wait_until(lambda: summed_up() == 1000, 20, lambda: screen.text)
    assert sum(line != "" for line in screen.text.split("\n")) < 30  # wherever the toolbar stands
    assert screen.line == "pycloud>"


def test_it_can_be_switched_off(shell: Shell, screen: Screen) -> None:
    watched(shell, screen)
    screen.type(f"watch off{ENTER}")
    screen.shows("What happens is not told.")
    wait_until(lambda: "events off" in screen.below, 20, lambda: screen.text)
    shell.tell({"event": "session.lost", "session": SESSION})
    screen.type(f"list{ENTER}")
    screen.shows("No sessions.")
    screen.type(f"watch on{ENTER}")
    screen.shows("What happens is told above the prompt.")
    shell.tell({"event": "session.failed", "session": OTHER})
    assert "session.lost" not in screen.shows("session.failed")


def test_own_commands_are_not_told_again(shell: Shell, screen: Screen) -> None:
    watched(shell, screen)
    script = shell.home / "script"
    script.write_text("sleep 60")
    screen.type(f"create {script}{ENTER}")
    screen.shows("Next: status ")
    shell.tell({"event": "session.running", "session": next(iter(shell.obedient.sessions))})
    shell.tell({"event": "session.failed", "session": OTHER})
    assert "session.running" not in screen.shows("session.failed")


def test_elsewhere_there_is_nothing_to_watch(shell: Shell) -> None:
    result = shell.run(stdin=b"watch off\n")
    assert result.code == 2
    assert "events -f" in result.err
    assert "there is no command watch" in shell.run("watch").err
