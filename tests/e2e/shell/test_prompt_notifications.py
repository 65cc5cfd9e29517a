"""What happens elsewhere is told above the prompt, and spoils nothing there."""

from __future__ import annotations

import re

from tests.support.pycloudctl import Shell
from tests.support.terminal import CTRL_C, ENTER, Screen
from tests.support.waiting import wait_until

SESSION = "f000000001cccccccccc"
OTHER = "f000000002cccccccccc"


def watched(shell: Shell, screen: Screen) -> None:
    """Wait until events are told: until one that is told again and again was seen."""

    def told() -> bool:
        shell.tell({"event": "cloud.up"})
        return "cloud.up" in screen.text

    wait_until(told, 20, lambda: screen.text)


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
    screen.shows("Event notifications are off.")
    wait_until(lambda: "events off" in screen.below, 20, lambda: screen.text)
    shell.tell({"event": "session.lost", "session": SESSION})
    screen.type(f"list{ENTER}")
    screen.shows("No sessions.")
    screen.type(f"watch on{ENTER}")
    screen.shows("Event notifications are on.")
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
