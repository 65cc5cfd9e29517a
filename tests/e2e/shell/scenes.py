"""A first hour with pycloudctl, as data: the prose and the typed lines. ``scene_player.py`` plays it.

Names of hosts and labels of nodes are those of ``scene_player.HOSTS``. The texts to wait for appear in every run.
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
        "A node runs on each of three hosts; `PYCLOUD_REDIS_URL` is set. Check the settings and the nodes:",
        lines("pycloudctl config show", "pycloudctl doctor"),
        "The nodes",
    ),
    Scene(
        "List the nodes:",
        lines("pycloudctl nodes"),
        short=True,
    ),
    Scene(
        "Start a game lobby. No node is given, so the least loaded one runs it:",
        lines(f"pycloudctl create {SERVER} --name lobby --label mode=duel"),
        "A session",
        short=True,
    ),
    Scene(
        "A session is given by its id or its name. List it, and print its state and its output:",
        (Elsewhere("the_lobby_opens"), *lines("pycloudctl list", "pycloudctl status lobby", "pycloudctl logs lobby")),
    ),
    Scene(
        "Two players join. `-f` follows the output until Ctrl-C; the session keeps running.",
        (
            Keys(f"pycloudctl logs -f lobby{ENTER}", ("serving",)),
            Elsewhere("two_players", ("GET /join/2",)),
            Keys(CTRL_C, ("Stopped following",)),
            Back(),
            Shot(),
        ),
        short=True,
    ),
    Scene("The details of the session, and its current use of CPU time and memory:", lines("pycloudctl inspect lobby")),
    Scene(
        "Start three more. Each runs on the node that is the least loaded at that moment.",
        lines(f"pycloudctl create {SERVER} --label mode=duel --count 3"),
        short=True,
    ),
    Scene(
        "The error for a misspelled command suggests one:",
        lines("pycloudctl statsu lobby"),
        short=True,
    ),
    Scene(
        "The host game1 needs a new disk. Drain its node: its sessions keep running, and new ones run on game2.",
        lines("pycloudctl drain game1", f"pycloudctl create {SERVER} --name arena --where region=eu"),
        "Taking a host out of service",
        short=True,
    ),
    Scene("The node stays in this state until it is undrained:", lines("pycloudctl nodes", "pycloudctl undrain game1")),
    Scene(
        "Start a script from standard input. `wait` returns when the session ends, and exits with its exit code.",
        lines(
            "echo 'echo counting the day; exit 3' | pycloudctl create - --name nightly",
            "pycloudctl wait nightly",
            "echo $?",
        ),
        "Jobs and events",
    ),
    Scene("Show the last four events:", lines("pycloudctl events -n 4")),
    Scene(
        "Remove the sessions with a label. A removal of several sessions needs a confirmation.",
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
        "Without a command, `pycloudctl` is a prompt. It completes commands, flags, files, nodes and sessions, by any "
        "of their letters: `rna` finds `arena`. The line below it shows changes within two seconds.",
        (
            Size(100, 14),
            Keys(f"pycloudctl{ENTER}", ("pycloud>", "nodes 3 up | sessions 1 live")),
            Keys("inspect rna", ("arena",)),
            Shot(),
        ),
        "The prompt",
    ),
    Scene(
        "Events appear above the line. The line itself does not change.",
        (
            Keys(f"{CTRL_U}{CTRL_L}list --label mo"),
            Elsewhere("a_session_fails", ("session.exited", "exit 7", "pycloud> list --label mo", "sessions 1 live")),
            Shot(),
        ),
    ),
    Scene(
        "`create` without a file opens an editor for a script of several lines:",
        (
            Keys(f"{CTRL_U}{CTRL_L}create --name greeter{ENTER}", ("Esc Enter",)),
            Keys(f"#!/bin/sh{ENTER}echo welcome, $(date +%A){ENTER}exec sleep 600", ("sleep 600",)),
            Shot(),
            Keys(ESC_ENTER, ("Next: status greeter", "sessions 2 live")),
        ),
    ),
    Scene(
        "Nodes and sessions on one screen, here of 80 columns and 24 lines. `l` shows the log of the selected session:",
        (
            Keys(f"{CTRL_L}exit{ENTER}"),
            Back(),
            Size(80, 24),
            Keys(f"pycloudctl top --sort name{ENTER}", ("arena", "greeter", "by name | q quit")),
            Keys("jl", ("--- log of", "welcome, ")),
            Shot("$ pycloudctl top --sort name"),
            Keys("q"),
            Back(),
        ),
        "The whole screen",
    ),
)
