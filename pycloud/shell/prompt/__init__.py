"""The prompt: what is typed at a terminal, line by line. Only this package and ``top`` load prompt_toolkit.

What a line does is decided in ``runner.py``; nothing that goes wrong in one ends the prompt.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.styles import Style

from pycloud.shell.exits import Exit, Leave
from pycloud.shell.live.feed import Feed
from pycloud.shell.live.health import place
from pycloud.shell.prompt.completer import LineCompleter
from pycloud.shell.prompt.history import PromptHistory, history_file
from pycloud.shell.prompt.toolbar import Toolbar
from pycloud.shell.runner import Runner

PROMPT = "pycloud> "
#: What is typed next to what stands below it must be told apart without colours, too.
STYLE = Style.from_dict({"bottom-toolbar": "reverse", "bottom-toolbar.text": ""})


def run_prompt(runner: Runner, environ: Mapping[str, str], home: Path) -> int:
    """Read and run lines until ``exit`` or Ctrl-D; returns the exit code."""
    history = PromptHistory(history_file(environ, home))
    with Feed(runner.client) as feed:
        session = _session(runner, feed, history)
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


def _session(runner: Runner, feed: Feed, history: PromptHistory) -> PromptSession[str]:
    session: PromptSession[str] = PromptSession(
        PROMPT,
        history=history,
        auto_suggest=AutoSuggestFromHistory(),
        completer=LineCompleter(runner.grammar.commands.values(), lambda: feed.health, lambda: feed.sessions),
        complete_while_typing=True,
        style=STYLE,
        color_depth=None if runner.colour else ColorDepth.DEPTH_1_BIT,
    )
    toolbar = Toolbar(feed, place(runner.client.url), session.app.invalidate)
    session.bottom_toolbar = lambda: toolbar.text(session.app.output.get_size().columns)
    return session


def _run(runner: Runner, line: str) -> None:
    try:
        runner.run_line(line)
    except Leave:
        raise
    except Exception:
        # A bug. Whoever works at the prompt sees all there is to see of it, and goes on.
        traceback.print_exc(file=sys.stderr)
