"""Runs one command, and converts errors to a message and an exit code; runs the lines of standard input.

All errors are handled here: the prompt and the one-shot use both go through ``Runner``.
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
from pycloud.shell.base.context import Context, PromptState
from pycloud.shell.dispatch.parser import CONNECTION_FLAG_NAMES, PROGRAM, Grammar
from pycloud.shell.terminal.exit_codes import ExitCode, ExitPrompt, Interrupted, UsageError, exit_code_for
from pycloud.shell.terminal.output import Mode, Printer, wants_colour

CONNECTION_SETTINGS = tuple(flag.removeprefix("--") for flag in CONNECTION_FLAG_NAMES)


@dataclass(frozen=True)
class Options:
    """The common flags: those that each command can override, and in ``flags`` the connection flags."""

    mode: Mode = "table"
    timeout: float | None = None
    no_color: bool = False
    flags: Mapping[str, str] = field(default_factory=dict)

    def overridden_by(self, args: Namespace) -> Options:
        """These options, overridden by those in ``args``."""
        return Options(
            getattr(args, "output", self.mode),
            getattr(args, "timeout", self.timeout),
            getattr(args, "no_color", self.no_color),
            {**self.flags, **{name: getattr(args, name) for name in CONNECTION_SETTINGS if hasattr(args, name)}},
        )


@dataclass(frozen=True)
class Terminal:
    """The streams of this process, and its environment (for NO_COLOR and TERM). ``error_prefix``: see Printer."""

    out: BinaryIO
    err: TextIO
    environ: Mapping[str, str]
    error_prefix: str = f"{PROGRAM}: "

    def printer(self, options: Options) -> Printer:
        """A printer for one command."""
        is_terminal, can_redraw = self.out.isatty(), self.environ.get("TERM", "dumb") != "dumb"
        return Printer(
            self.out,
            self.err,
            options.mode,
            wants_colour(self.environ, is_terminal, options.no_color),
            shutil.get_terminal_size().columns if is_terminal else None,
            interactive=is_terminal and self.err.isatty(),
            error_prefix=self.error_prefix,
            redraws=is_terminal and can_redraw,
            shows_progress=self.err.isatty() and can_redraw,
        )


class Runner:
    """Runs commands of one grammar with one client. ``options``: the defaults, which each command can override."""

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
        #: Set by the prompt; None elsewhere.
        self.prompt_state: PromptState | None = None

    def run_line(self, line: str) -> int:
        """Run one line; returns the exit code (0 for an empty line or a comment). Raises as ``run``."""
        try:
            words = shlex.split(line, comments=True)
            args = self.grammar.parse(words) if words else None
        except (UsageError, ValueError) as error:
            # ValueError: raised by shlex for an unclosed quotation.
            self.print_error(str(error))
            return ExitCode.USAGE
        except SystemExit:  # raised by argparse after --help
            return ExitCode.DONE
        return self.run(args) if args is not None and args.command else ExitCode.DONE

    def run(self, args: Namespace) -> int:
        """Run a parsed command; returns the exit code. Raises ExitPrompt, and BrokenPipeError for a closed stdout."""
        try:
            return self._run_command(args)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.print_error(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
            return ExitCode.FAILED

    @property
    def printer(self) -> Printer:
        """A printer for the options given at the start."""
        return self._terminal.printer(self._options)

    def print_error(self, text: str) -> None:
        """Print an error message."""
        self.printer.error(text)

    def _run_command(self, args: Namespace) -> int:
        try:
            command = self.grammar.commands[args.command]
            code = command.run(self._context(self._options.overridden_by(args)), args)
            self._terminal.out.flush()
            return code
        except RequestRefused as error:
            self.print_error(f"refused: {error.message} ({error.code})")
            return exit_code_for(error)
        except Interrupted as error:
            return self._report_interrupt(error.message)
        except KeyboardInterrupt:
            return self._report_interrupt("Interrupted.")
        except PyCloudError as error:
            self.print_error(error.message)
            return exit_code_for(error)

    def _report_interrupt(self, text: str) -> int:
        if self._terminal.err.isatty():
            self._terminal.err.write("\n")  # the terminal has echoed ^C without a newline
        self.print_error(text)
        return ExitCode.INTERRUPTED

    def _context(self, options: Options) -> Context:
        return Context(
            self.client,
            self._terminal.printer(options),
            options.timeout,
            self.grammar.prefix,
            self.grammar.help_text,
            self._read_stdin,
            options.flags,
            self.prompt_state,
        )


def run_lines(runner: Runner, lines: Iterable[str]) -> int:
    """Run commands, one per line, continuing after failures; returns the first exit code other than 0.

    Only Ctrl-C and ``exit`` end it early. Input without any command is a usage error: most likely the user expected a
    prompt.
    """
    codes: list[int] = []
    try:
        for line in lines:
            if line.strip() and not line.lstrip().startswith("#"):
                codes.append(runner.run_line(line))
            if ExitCode.INTERRUPTED in codes:
                break
    except ExitPrompt:
        codes.append(ExitCode.DONE)
    if not codes:
        runner.print_error("no command given; `pycloudctl help` lists them; the prompt needs a terminal as input")
        return ExitCode.USAGE
    return next((code for code in codes if code != ExitCode.DONE), ExitCode.DONE)
