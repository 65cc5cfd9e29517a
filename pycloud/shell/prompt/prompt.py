"""The prompt: what is typed at a terminal, line by line. Only this package and ``top`` load prompt_toolkit.

What a line does is decided in ``runner.py``; nothing that goes wrong in one ends the prompt.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import is_dumb_terminal

from pycloud.protocol.messages import Event
from pycloud.shell.base.context import Conversation
from pycloud.shell.dispatch.runner import Runner
from pycloud.shell.live.feed import Feed
from pycloud.shell.live.health import place
from pycloud.shell.node_commands.events import line_of
from pycloud.shell.prompt.above import Above
from pycloud.shell.prompt.completer import LineCompleter, complete
from pycloud.shell.prompt.history import PromptHistory, history_file
from pycloud.shell.prompt.toolbar import Toolbar
from pycloud.shell.terminal.exit_codes import Exit, Leave
from pycloud.shell.terminal.signals import mind

if TYPE_CHECKING:
    from pycloud.shell.prompt.editor import Editor

PROMPT = "pycloud> "
WELCOME = "Type help for the commands, exit or Ctrl-D to leave."
STYLE = Style.from_dict({"bottom-toolbar": "reverse", "bottom-toolbar.text": ""})
#: What is typed and what is only suggested must be told apart without colours, too.
COLOURLESS = Style.from_dict({"bottom-toolbar": "reverse", "bottom-toolbar.text": "", "auto-suggestion": "underline"})


def run_prompt(runner: Runner, environ: Mapping[str, str], home: Path) -> int:
    """Read and run lines until ``exit`` or Ctrl-D; returns the exit code."""
    if is_dumb_terminal():
        return _plain(runner)
    history = PromptHistory(history_file(environ, home))
    with Feed(runner.client) as feed:
        prompt = Prompt(runner, feed, history)
        print(WELCOME)
        while True:
            try:
                if news := history.news():
                    runner.complain(news)
                prompt.run(prompt.read())
            except KeyboardInterrupt:
                continue
            except (EOFError, Leave):
                return Exit.DONE


def _plain(runner: Runner) -> int:
    """The same on a terminal that can do nothing but print: no colours, no completion, and nothing that moves."""
    print(WELCOME)
    while True:
        try:
            _run(runner, input(PROMPT))
        except KeyboardInterrupt:
            print()
        except (EOFError, Leave):
            return Exit.DONE


class Prompt:
    """Reads a line at a time, with all that stands around it, and runs it."""

    def __init__(self, runner: Runner, feed: Feed, history: PromptHistory) -> None:
        self._runner, self._conversation = runner, Conversation(feed, self._edit)
        runner.conversation = self._conversation
        self._editor: Editor | None = None
        self._session = _session(runner, feed, history)
        app, watching = self._session.app, lambda: self._conversation.watching
        toolbar = Toolbar(feed, watching, place(runner.client.url), app.invalidate)
        self._session.bottom_toolbar = lambda: toolbar.text(app.output.get_size().columns)
        self._above = Above(app, watching, self._spell, self._say)
        feed.on_events.append(self._above.heard)

    def read(self) -> str:
        """The next line. Raises KeyboardInterrupt for Ctrl-C, EOFError for Ctrl-D."""
        return self._session.prompt(pre_run=self._begin)

    def run(self, line: str) -> None:
        """Run it, whatever becomes of it. Raises Leave."""
        self._conversation.touched.clear()
        try:
            _run(self._runner, line)
        finally:
            self._above.done(self._conversation.touched)

    def _begin(self) -> None:
        mind(get_app())
        self._above.begin()

    def _edit(self) -> bytes:
        if self._editor is None:
            from pycloud.shell.prompt.editor import Editor

            self._editor = Editor(STYLE, colour=self._runner.printer.colour)
        return self._editor.edit()

    def _spell(self, event: Event) -> str:
        printer = self._runner.printer
        return line_of(event, None, printer.colour)  # the reason is what people want to read: it may wrap

    def _say(self, lines: str) -> None:
        printer = self._runner.printer
        printer.line(lines)
        printer.out.flush()


def _session(runner: Runner, feed: Feed, history: PromptHistory) -> PromptSession[str]:
    colour, keys = runner.printer.colour, KeyBindings()
    keys.add("tab")(complete)
    return PromptSession(
        PROMPT,
        history=history,
        auto_suggest=AutoSuggestFromHistory(),
        completer=LineCompleter(runner.grammar.commands.values(), lambda: feed.health, lambda: feed.sessions),
        complete_while_typing=True,
        key_bindings=keys,
        style=STYLE if colour else COLOURLESS,
        color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
    )


def _run(runner: Runner, line: str) -> None:
    """Run a line, whatever becomes of it. Raises Leave."""
    try:
        runner.run_line(line)
    except Leave:
        raise
    except Exception:
        # A bug. Whoever works at the prompt sees all there is to see of it, and goes on.
        traceback.print_exc(file=sys.stderr)
