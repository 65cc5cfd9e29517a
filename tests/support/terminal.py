"""pycloudctl on a terminal: what stands on the screen, as a terminal would draw it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pexpect
import pyte

from tests.support.pycloudctl import PYCLOUDCTL
from tests.support.waiting import wait_until

CTRL_C, CTRL_D, UP, TAB, ENTER = "\x03", "\x04", "\x1b[A", "\t", "\r"
COLUMNS, LINES = 80, 50


class User(Protocol):
    """Whoever sits in front of it."""

    @property
    def environ(self) -> dict[str, str]:
        """Their environment."""


class _AnsweringScreen(pyte.Screen):
    """Tells the program where the cursor is, when it asks."""

    def __init__(self, columns: int, lines: int, send: Callable[[str], object]) -> None:
        self._send = send
        super().__init__(columns, lines)

    def write_process_input(self, data: str) -> None:
        self._send(data)


class Screen:
    """The program behind a pseudo-terminal, and what it has drawn so far. ``raw``: all that it wrote, as it came."""

    def __init__(
        self,
        user: User,
        *words: str,
        lines: int = LINES,
        columns: int = COLUMNS,
        around: Callable[[list[str]], list[str]] = lambda command: command,
    ) -> None:
        """``around`` makes another command of that which starts it, with more around it."""
        command = around([*PYCLOUDCTL, *words])
        self._child = pexpect.spawn(
            command[0], command[1:], env=user.environ, dimensions=(lines, columns), encoding="utf-8"
        )
        self._child.delaybeforesend = None
        self.raw = ""
        self._screen = _AnsweringScreen(columns, lines, self._child.send)
        self._stream = pyte.Stream(self._screen)

    @property
    def text(self) -> str:
        self._draw()
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def line(self) -> str:
        """The line that the cursor is in."""
        self._draw()
        return str(self._screen.display[self._screen.cursor.y]).rstrip()

    @property
    def below(self) -> str:
        """The last line that is not empty: the toolbar, where there is one."""
        return self.text.rpartition("\n")[2]

    def coloured(self, text: str) -> bool:
        """Whether ``text`` stands on the screen in a colour of its own."""
        self._draw()
        for row, line in enumerate(self._screen.display):
            if (place := line.find(text)) >= 0:
                return bool(self._screen.buffer[row][place].fg != "default")
        return False

    @property
    def pid(self) -> int:
        """The program's process id."""
        return int(self._child.pid)

    def resize(self, columns: int, lines: int = LINES) -> None:
        """Another size of the terminal, told as a terminal tells it."""
        self._screen.resize(lines, columns)
        self._child.setwinsize(lines, columns)

    def type(self, keys: str) -> None:
        self._child.send(keys)

    def shows(self, *texts: str) -> str:
        """Wait until all of ``texts`` stand on the screen; returns all of it."""

        def shown() -> bool:
            text = self.text
            return all(part in text for part in texts)

        wait_until(shown, 20, lambda: f"{texts} on this screen:\n{self.text}")
        return self.text

    def asks(self) -> None:
        """Wait for an empty prompt at the cursor."""
        wait_until(lambda: self.line == "pycloud>", 20, lambda: f"a prompt on this screen:\n{self.text}")

    def ends(self) -> int:
        wait_until(self._ended, 20, lambda: f"the end of the program; its screen:\n{self.text}")
        self._child.close()
        return int(self._child.exitstatus)

    def close(self) -> None:
        self._child.close(force=True)

    def _ended(self) -> bool:
        self._draw()
        return not self._child.isalive()

    def _draw(self) -> None:
        if self._child.closed:
            return
        try:
            while drawn := self._child.read_nonblocking(65536, timeout=0):
                self.raw += drawn
                self._stream.feed(drawn)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
