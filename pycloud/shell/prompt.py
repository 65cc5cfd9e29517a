"""The prompt: what is typed at a terminal, line by line. Only this and ``history.py`` load prompt_toolkit.

What a line does is decided in ``runner.py``; nothing that goes wrong in one ends the prompt.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, FuzzyCompleter
from prompt_toolkit.document import Document

from pycloud.shell.exits import Exit, Leave
from pycloud.shell.history import PromptHistory, history_file
from pycloud.shell.rows import Command
from pycloud.shell.runner import Runner

PROMPT = "pycloud> "
#: What counts as the word that is being typed: names may hold more than letters.
WORD = r"^\S+"


class CommandCompleter(Completer):
    """Offers the commands, where one is expected: first on the line, and after ``help``."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Those that begin with the word before the cursor."""
        before, word = _split(document.text_before_cursor)
        if before.split() in ([], ["help"]):
            for row in self._commands:
                if row.name.startswith(word):
                    yield Completion(row.name, start_position=-len(word), display_meta=row.summary)


def run_prompt(runner: Runner, environ: Mapping[str, str], home: Path) -> int:
    """Read and run lines until ``exit`` or Ctrl-D; returns the exit code."""
    rows = list(runner.grammar.commands.values())
    history = PromptHistory(history_file(environ, home))
    session: PromptSession[str] = PromptSession(
        PROMPT,
        history=history,
        completer=FuzzyCompleter(CommandCompleter(rows), pattern=WORD),
        complete_while_typing=True,
    )
    print("Type help for the commands, exit or Ctrl-D to leave.")
    while True:
        try:
            if news := history.news():
                runner.complain(news)
            _run(runner, session.prompt())
        except KeyboardInterrupt:
            continue
        except (EOFError, Leave):
            return Exit.DONE


def _run(runner: Runner, line: str) -> None:
    try:
        runner.run_line(line)
    except Leave:
        raise
    except Exception:
        # A bug. Whoever works at the prompt sees all there is to see of it, and goes on.
        traceback.print_exc(file=sys.stderr)


def _split(text: str) -> tuple[str, str]:
    """What stands before the word that is being typed, and that word."""
    cut = len(text) - len(text.split(" ")[-1])
    return text[:cut], text[cut:]
