"""The prompt: reads lines at a terminal and runs them. Only this package and ``top`` load prompt_toolkit.

``dispatch/runner.py`` executes the lines; an error in one does not end the prompt.
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
from pycloud.shell.base.context import PromptState
from pycloud.shell.base.event_line import event_line
from pycloud.shell.dispatch.runner import Runner
from pycloud.shell.live.feed import LiveState
from pycloud.shell.live.health import redis_address
from pycloud.shell.prompt.completer import LineCompleter, complete
from pycloud.shell.prompt.history import PromptHistory, history_file
from pycloud.shell.prompt.notifications import NotificationPrinter
from pycloud.shell.prompt.toolbar import Toolbar
from pycloud.shell.terminal.exit_codes import ExitCode, ExitPrompt
from pycloud.shell.terminal.signals import install_sigterm_handler

if TYPE_CHECKING:
    from pycloud.shell.prompt.editor import Editor

PROMPT = "pycloud> "
WELCOME = "Type help for the commands, exit or Ctrl-D to leave."
STYLE = Style.from_dict({"bottom-toolbar": "reverse", "bottom-toolbar.text": ""})
#: Without colours, suggested text must be distinguishable from typed text by other means.
COLOURLESS_STYLE = Style.from_dict(
    {"bottom-toolbar": "reverse", "bottom-toolbar.text": "", "auto-suggestion": "underline"}
)


def run_prompt(runner: Runner, environ: Mapping[str, str], home: Path) -> int:
    """Read and run lines until ``exit`` or Ctrl-D; returns the exit code (0)."""
    if is_dumb_terminal():
        return _run_dumb_terminal(runner)
    history = PromptHistory(history_file(environ, home))
    with LiveState(runner.client) as live_state:
        prompt = Prompt(runner, live_state, history)
        print(WELCOME)
        while True:
            try:
                if warning := history.take_warning():
                    runner.print_error(warning)
                prompt.run(prompt.read())
            except KeyboardInterrupt:
                continue
            except (EOFError, ExitPrompt):
                return ExitCode.DONE


def _run_dumb_terminal(runner: Runner) -> int:
    """As ``run_prompt``, for a terminal without cursor movement: no colours, completion, toolbar or notifications."""
    print(WELCOME)
    while True:
        try:
            _run(runner, input(PROMPT))
        except KeyboardInterrupt:
            print()
        except (EOFError, ExitPrompt):
            return ExitCode.DONE


class Prompt:
    """Reads and runs single lines, with toolbar, completion and notifications."""

    def __init__(self, runner: Runner, live_state: LiveState, history: PromptHistory) -> None:
        self._runner, self._state = runner, PromptState(live_state, self._edit)
        runner.prompt_state = self._state
        self._editor: Editor | None = None
        self._session = _session(runner, live_state, history)
        app, shows_events = self._session.app, lambda: self._state.shows_events
        toolbar = Toolbar(live_state, shows_events, redis_address(runner.client.url), app.invalidate)
        self._session.bottom_toolbar = lambda: toolbar.text(app.output.get_size().columns)
        self._notifications = NotificationPrinter(app, shows_events, self._format_event, self._print_lines)
        live_state.on_events.append(self._notifications.on_events)

    def read(self) -> str:
        """Read a line. Raises KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D."""
        return self._session.prompt(pre_run=self._on_prompt_start)

    def run(self, line: str) -> None:
        """Run a line; errors are printed. Raises ExitPrompt."""
        self._state.own_changes.clear()
        try:
            _run(self._runner, line)
        finally:
            self._notifications.suppress_own(self._state.own_changes)

    def _on_prompt_start(self) -> None:
        install_sigterm_handler(get_app())
        self._notifications.on_prompt_start()

    def _edit(self) -> bytes:
        if self._editor is None:
            from pycloud.shell.prompt.editor import Editor

            self._editor = Editor(STYLE, colour=self._runner.printer.colour)
        return self._editor.edit()

    def _format_event(self, event: Event) -> str:
        printer = self._runner.printer
        return event_line(event, None, printer.colour)  # not truncated: users need the reason

    def _print_lines(self, lines: str) -> None:
        printer = self._runner.printer
        printer.line(lines)
        printer.out.flush()


def _session(runner: Runner, live_state: LiveState, history: PromptHistory) -> PromptSession[str]:
    colour, keys = runner.printer.colour, KeyBindings()
    keys.add("tab")(complete)
    return PromptSession(
        PROMPT,
        history=history,
        auto_suggest=AutoSuggestFromHistory(),
        completer=LineCompleter(
            runner.grammar.commands.values(), lambda: live_state.health, lambda: live_state.sessions
        ),
        complete_while_typing=True,
        key_bindings=keys,
        style=STYLE if colour else COLOURLESS_STYLE,
        color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
    )


def _run(runner: Runner, line: str) -> None:
    """Run a line; errors, also unexpected ones, are printed. Raises ExitPrompt."""
    try:
        runner.run_line(line)
    except ExitPrompt:
        raise
    except Exception:
        # A bug: its traceback is printed, and the prompt continues.
        traceback.print_exc(file=sys.stderr)
