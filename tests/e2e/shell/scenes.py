"""A first hour with pycloudctl, as data: what somebody wants, and types; ``player.py`` plays it.

Names of hosts and labels of clouds are those of ``player.HOSTS``. What is waited for stands on the screen of every run.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.terminal import CTRL_C, ENTER

CTRL_U, CTRL_L, ESC_ENTER = "\x15", "\x0c", "\x1b\r"


@dataclass(frozen=True)
class Line:
    """A line for the operator's shell; over when that asks for the next one."""

    text: str


@dataclass(frozen=True)
class Keys:
    """Keys, and what stands on the screen when they have done their work."""

    keys: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Elsewhere:
    """What others do meanwhile, by the name of a method of ``player.World``, and what stands on the screen then."""

    deed: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Back:
    """The operator's shell asks for the next line."""


@dataclass(frozen=True)
class Size:
    """The terminal is of this size from here on, and empty but for a shell that asks."""

    columns: int
    lines: int


@dataclass(frozen=True)
class Shot:
    """A block of the page: what stands on the screen now, but for all but one of several empty lines.

    ``typed``: the line that led to a full screen, which hides it; nothing of that screen is left out.
    """

    typed: str = ""


Step = Line | Keys | Elsewhere | Back | Size | Shot


@dataclass(frozen=True)
class Scene:
    """``prose`` stands above its first block. ``short``: it is in the README, too."""

    prose: str
    steps: tuple[Step, ...]
    heading: str = ""
    short: bool = False


def lines(*texts: str) -> tuple[Step, ...]:
    """Lines for the shell, and a shot of what came of them."""
    return (*(Line(text) for text in texts), Shot())


SERVER = "examples/http_server.py"

SCENES: tuple[Scene, ...] = (
    Scene(
        "Three hosts are set up, and their Redis is named in `PYCLOUD_REDIS_URL`. Is it taken, and is all well?",
        lines("pycloudctl config show", "pycloudctl doctor"),
        "Looking round",
    ),
    Scene(
        "What is there?",
        lines("pycloudctl clouds"),
        short=True,
    ),
    Scene(
        "A lobby for the players, please. No host is named: the least loaded one takes it.",
        lines(f"pycloudctl create {SERVER} --name lobby --label mode=duel"),
        "A session",
        short=True,
    ),
    Scene(
        "Its name is good wherever an id is. Is it there, and what does it say?",
        (Elsewhere("the_lobby_opens"), *lines("pycloudctl list", "pycloudctl status lobby", "pycloudctl logs lobby")),
    ),
    Scene(
        "Players come. `-f` goes on with what the session writes, until Ctrl-C; the session goes on.",
        (
            Keys(f"pycloudctl logs -f lobby{ENTER}", ("serving",)),
            Elsewhere("two_players", ("GET /join/2",)),
            Keys(CTRL_C, ("Stopped following",)),
            Back(),
            Shot(),
        ),
        short=True,
    ),
    Scene("All that is known of it, and what it uses just now:", lines("pycloudctl inspect lobby")),
    Scene(
        "It gets busy: three more. Each goes where there is room.",
        lines(f"pycloudctl create {SERVER} --label mode=duel --count 3"),
        short=True,
    ),
    Scene("A slip of the finger does no harm.", lines("pycloudctl statsu lobby"), short=True),
    Scene(
        "The host game1 needs a new disk: nothing new there. What runs goes on; the next for Europe lands on game2.",
        lines("pycloudctl drain game1", f"pycloudctl create {SERVER} --name arena --where region=eu"),
        "Taking a host out of service",
        short=True,
    ),
    Scene("So it stands, until the disk is in:", lines("pycloudctl clouds", "pycloudctl undrain game1")),
    Scene(
        "A script from standard input, for once. `wait` returns when it has ended, with its exit code.",
        lines(
            "echo 'echo counting the day; exit 3' | pycloudctl create - --name nightly",
            "pycloudctl wait nightly",
            "echo $?",
        ),
        "Jobs, and what has happened",
    ),
    Scene("What has happened of late?", lines("pycloudctl events -n 4")),
    Scene(
        "Enough duels for today. To remove more than one asks first.",
        (
            Line("pycloudctl list --label mode=duel"),
            Keys(f"pycloudctl remove --label mode=duel{ENTER}", ("[y/N]",)),
            Keys(f"y{ENTER}", ("Removed 4 of 4",)),
            Back(),
            Shot(),
        ),
        "Cleaning up",
    ),
    Scene(
        "Without a command it is a prompt. It completes commands, flags, files, clouds and sessions, by any of their "
        "letters: `rna` finds the arena. The line below it is true to within two seconds.",
        (
            Size(100, 14),
            Keys(f"pycloudctl{ENTER}", ("pycloud>", "clouds 3 up | sessions 1 live")),
            Keys("inspect rna", ("arena",)),
            Shot(),
        ),
        "The prompt",
    ),
    Scene(
        "What happens elsewhere is told above the line, which stays as it was typed.",
        (
            Keys(f"{CTRL_U}{CTRL_L}list --label mo"),
            Elsewhere("somebody_fails", ("session.exited", "exit 7", "pycloud> list --label mo", "sessions 1 live")),
            Shot(),
        ),
    ),
    Scene(
        "`create` without a file opens an editor for a script of several lines.",
        (
            Keys(f"{CTRL_U}{CTRL_L}create --name greeter{ENTER}", ("Esc Enter",)),
            Keys(f"#!/bin/sh{ENTER}echo welcome, $(date +%A){ENTER}exec sleep 600", ("sleep 600",)),
            Shot(),
            Keys(ESC_ENTER, ("Next: status greeter", "sessions 2 live")),
        ),
    ),
    Scene(
        "And all of it at a glance, in 80 columns and 24 lines; `l` shows the log of the selected session.",
        (
            Keys(f"{CTRL_L}exit{ENTER}"),
            Back(),
            Size(80, 24),
            Keys(f"pycloudctl top --sort name{ENTER}", ("arena", "greeter", "by name | q leave")),
            Keys("jl", ("--- log of", "welcome, ")),
            Shot("$ pycloudctl top --sort name"),
            Keys("q"),
            Back(),
        ),
        "The whole screen",
    ),
)
