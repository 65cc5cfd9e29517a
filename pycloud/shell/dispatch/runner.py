"""Runs one command and turns whatever goes wrong into a message and an exit code; reads lines where there is no prompt.

The one place where errors end: the prompt and the one-shot use both go through ``Runner``.
"""

from __future__ import annotations

import shlex
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from pycloud.client import Client
from pycloud.client.errors import RequestRefused
from pycloud.errors import PyCloudError
from pycloud.shell.base.context import Context, Conversation
from pycloud.shell.dispatch.parser import CONNECTION, PROGRAM, Grammar
from pycloud.shell.terminal.exit_codes import Exit, Interrupted, Leave, UsageProblem, code_of
from pycloud.shell.terminal.output import Mode, Printer, wants_colour

CONNECTION_NAMES = tuple(flag.removeprefix("--") for flag in CONNECTION)


@dataclass(frozen=True)
class Options:
    """The common flags: those that may differ from command to command, and in ``flags`` those that say where to."""

    mode: Mode = "table"
    timeout: float | None = None
    no_color: bool = False
    flags: Mapping[str, str] = field(default_factory=dict)

    def over(self, args: Namespace) -> Options:
        """These, but for what ``args`` says."""
        return Options(
            getattr(args, "output", self.mode),
            getattr(args, "timeout", self.timeout),
            getattr(args, "no_color", self.no_color),
            {**self.flags, **{name: getattr(args, name) for name in CONNECTION_NAMES if hasattr(args, name)}},
        )


@dataclass(frozen=True)
class Terminal:
    """The streams of this process, and its environment, for what that says of colours. ``speaker``: see Printer."""

    out: BinaryIO
    err: TextIO
    environ: Mapping[str, str]
    speaker: str = f"{PROGRAM}: "

    def printer(self, options: Options) -> Printer:
        """A printer for one command."""
        screen, able = self.out.isatty(), self.environ.get("TERM", "dumb") != "dumb"
        return Printer(
            self.out,
            self.err,
            options.mode,
            wants_colour(self.environ, screen, options.no_color),
            shutil.get_terminal_size().columns if screen else None,
            chatty=screen and self.err.isatty(),
            speaker=self.speaker,
            redraws=screen and able,
            shows_progress=self.err.isatty() and able,
        )


class Runner:
    """Runs commands of one grammar with one client. ``options`` hold where a command says nothing else."""

    def __init__(
        self,
        client: Client,
        grammar: Grammar,
        options: Options,
        terminal: Terminal,
        read_stdin: Callable[[], bytes],
    ) -> None:
        self.grammar, self.client, self._options = grammar, client, options
        self._terminal, self._read_stdin = terminal, read_stdin
        #: Set by the prompt.
        self.conversation: Conversation | None = None

    def run_line(self, line: str) -> int:
        """Run what was typed; returns the exit code. An empty line and a comment do nothing. Raises Leave."""
        try:
            words = shlex.split(line, comments=True)
            args = self.grammar.parse(words) if words else None
        except (UsageProblem, ValueError) as error:
            # ValueError: shlex's, a quotation that is not closed.
            self.complain(str(error))
            return Exit.USAGE
        except SystemExit:  # argparse has shown the help that a flag asked for
            return Exit.DONE
        return self.run(args) if args is not None and args.command else Exit.DONE

    def run(self, args: Namespace) -> int:
        """Run a parsed command; returns the exit code. Raises Leave, and BrokenPipeError where nobody reads."""
        try:
            return self._attempt(args)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.complain(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
            return Exit.FAILED

    @property
    def printer(self) -> Printer:
        """A printer that goes by the flags of the start."""
        return self._terminal.printer(self._options)

    def complain(self, text: str) -> None:
        """Tell that something went wrong."""
        self.printer.complain(text)

    def _attempt(self, args: Namespace) -> int:
        try:
            command = self.grammar.commands[args.command]
            code = command.run(self._context(self._options.over(args)), args)
            self._terminal.out.flush()
            return code
        except RequestRefused as error:
            self.complain(f"refused: {error.message} ({error.code})")
            return code_of(error)
        except Interrupted as error:
            return self._interrupted(error.message)
        except KeyboardInterrupt:
            return self._interrupted("Interrupted.")
        except PyCloudError as error:
            self.complain(error.message)
            return code_of(error)

    def _interrupted(self, text: str) -> int:
        if self._terminal.err.isatty():
            self._terminal.err.write("\n")  # the terminal has echoed ^C, without ending its line
        self.complain(text)
        return Exit.INTERRUPTED

    def _context(self, options: Options) -> Context:
        return Context(
            self.client,
            self._terminal.printer(options),
            options.timeout,
            self.grammar.prefix,
            self.grammar.help_text,
            self._read_stdin,
            options.flags,
            self.conversation,
        )


def run_lines(runner: Runner, lines: Iterable[str]) -> int:
    """Run commands one per line, all of them whatever becomes of each; returns the first code other than 0.

    Only Ctrl-C ends it early. Input that holds no command at all is a usage problem: most likely somebody expected a
    prompt.
    """
    codes: list[int] = []
    try:
        for line in lines:
            if line.strip() and not line.lstrip().startswith("#"):
                codes.append(runner.run_line(line))
            if Exit.INTERRUPTED in codes:
                break
    except Leave:
        codes.append(Exit.DONE)
    if not codes:
        runner.complain("no command given; `pycloudctl help` shows all, and on a terminal there is a prompt")
        return Exit.USAGE
    return next((code for code in codes if code != Exit.DONE), Exit.DONE)
