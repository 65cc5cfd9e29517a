"""Plays scenes with the real programs: a Redis, three daemons, and pycloudctl on a terminal."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from pycloud.client import Client, SessionRecord
from tests.e2e.shell.scenes import Back, Elsewhere, Keys, Line, Scene, Shot, Size, Step
from tests.support.daemon import ROOT, Daemon
from tests.support.redis_server import RedisServer
from tests.support.terminal import ENTER, Screen
from tests.support.waiting import wait_until

#: The hosts of the recording, and the labels of their nodes.
HOSTS = {"game1": "region=eu", "game2": "region=eu", "game3": "region=us"}
#: Where a host's data lie; shown instead of where they lay when the recording was made.
DATA = "/var/lib/pycloud"
COLUMNS, LINES, ASKS = 120, 50, "$"
#: What a terminal is told in order to erase everything.
ERASED = "\x1b[2J"
#: Several empty lines.
EMPTY = re.compile(r"\n{3,}")
#: Variables of whoever records that would show.
FOREIGN = ("PYCLOUD_", "XDG_", "LC_", "COLUMNS", "LINES", "ENV", "EDITOR", "VISUAL", "NO_COLOR")


@dataclass(frozen=True)
class Operator:
    """Whoever sits at the terminal, by their environment."""

    environ: dict[str, str]


class World:
    """What happens outside the terminal."""

    def __init__(self, url: str) -> None:
        self._url = url

    def the_lobby_opens(self) -> None:
        """It takes a moment until it listens."""
        with Client(self._url) as client:
            wait_until(lambda: client.logs(_lobby(client).id), 20)

    def two_players(self) -> None:
        """They join in the lobby."""
        with Client(self._url) as client:
            lobby = _lobby(client)
        for player in (1, 2):
            with urlopen(f"http://127.0.0.1:{lobby.port}/join/{player}", timeout=10) as page:
                page.read()

    def a_session_fails(self) -> None:
        """Another client's session fails."""
        with Client(self._url) as client:
            client.wait(client.create("exit 7").id, timeout=30)


class Player:
    """Plays at one terminal."""

    def __init__(self, screen: Screen, world: World, shown: Mapping[str, str]) -> None:
        """``shown``: what is shown instead of what stands on the screen, by that."""
        self._screen, self._world, self._shown = screen, world, shown
        self._back()

    def play(self, scene: Scene) -> Iterator[str]:
        """The blocks that come of it, one after the other. Raises AssertionError where it does not go as it should."""
        if self._screen.line == ASKS:
            self._clear()
        for step in scene.steps:
            if isinstance(step, Shot):
                yield self._shot(step)
            else:
                self._take(step)

    def _take(self, step: Step) -> None:
        if isinstance(step, Line):
            self._line(step.text)
        elif isinstance(step, Keys):
            self._screen.type(step.keys)
            self._screen.shows(*step.shows)
        elif isinstance(step, Elsewhere):
            getattr(self._world, step.deed)()
            self._screen.shows(*step.shows)
        elif isinstance(step, Size):
            self._screen.resize(step.columns, step.lines)
            self._clear()
        elif isinstance(step, Back):
            self._back()

    def _line(self, text: str) -> None:
        typed = f"{ASKS} {text}"
        before = self._screen.text.count(typed)
        self._screen.type(text + ENTER)
        wait_until(lambda: self._screen.text.count(typed) > before, 20, lambda: self._screen.text)
        self._back()

    def _clear(self) -> None:
        before = len(self._screen.raw)
        self._screen.type(f"clear{ENTER}")

        def cleared() -> bool:
            return self._screen.text == ASKS and ERASED in self._screen.raw[before:]

        wait_until(cleared, 20, lambda: self._screen.text)

    def _back(self) -> None:
        wait_until(lambda: self._screen.line == ASKS, 30, lambda: f"a shell on this screen:\n{self._screen.text}")

    def _shot(self, shot: Shot) -> str:
        text = self._screen.text.removesuffix(f"\n{ASKS}")
        for real, instead in self._shown.items():
            text = text.replace(real, instead)
        return f"{shot.typed}\n{text}" if shot.typed else EMPTY.sub("\n\n", text)


@contextmanager
def stage() -> Iterator[Player]:
    """A player in front of everything that a scene needs; nothing of it is left afterwards."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pycloud-hour-")))
        server = stack.enter_context(RedisServer())
        daemons = [
            Daemon(
                home / host, server.url, _settings(), hostname=f"{host}.example.net", labels=labels, runtime="script"
            )
            for host, labels in HOSTS.items()
        ]
        for daemon in daemons:
            stack.callback(daemon.end)
            daemon.launch()
        for daemon in daemons:
            _wait_until_ready(daemon)
        with Client(server.url) as client:
            wait_until(lambda: len(client.nodes()) == len(HOSTS), 30)
        screen = Screen(_operator(home, server.url), lines=LINES, columns=COLUMNS, around=_shell)
        stack.callback(screen.close)
        yield Player(screen, World(server.url), {str(daemon.data): DATA for daemon in daemons})


def record(
    scenes: Iterable[Scene], each: Callable[[Scene], None] = lambda scene: None
) -> list[tuple[Scene, list[str]]]:
    """The scenes, in their order, each with its blocks. ``each`` is told of a scene before it is played."""
    played = []
    with stage() as player:
        for scene in scenes:
            each(scene)
            played.append((scene, list(player.play(scene))))
    return played


def _wait_until_ready(daemon: Daemon) -> None:
    wait_until(lambda: " ready: " in daemon.log(), 30, daemon.log)


def _lobby(client: Client) -> SessionRecord:
    (lobby,) = client.sessions(name="lobby")
    return lobby


def _shell(_command: list[str]) -> list[str]:
    return ["/bin/sh", "-c", f"cd {shlex.quote(str(ROOT))} && exec /bin/sh -i"]


def _settings() -> dict[str, str]:
    """What there is to be inherited. Programs of the system come first, so that nobody sees where others lie here."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**inherited, "PATH": f"/usr/local/bin:/usr/bin:/bin:{os.environ['PATH']}", "TZ": "UTC"}


def _operator(home: Path, url: str) -> Operator:
    """With ``pycloudctl`` on the PATH."""
    program = home / "bin" / "pycloudctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pycloud.shell "$@"\n')
    program.chmod(0o755)
    settings = _settings()
    own = {
        "PATH": f"{program.parent}:{settings['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYCLOUD_REDIS_URL": url,
        "HOME": str(home),
        "PS1": f"{ASKS} ",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
    }
    return Operator({**settings, **own})
