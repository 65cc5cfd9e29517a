"""``pycloudctl``: settings, streams, and the choice between one command, the prompt, and lines of standard input."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TextIO

from pycloud.client import Client
from pycloud.client.request import MAX_SCRIPT_BYTES
from pycloud.config.loader import Host, load_target
from pycloud.errors import ConfigError
from pycloud.shell.dispatch.parser import PROGRAM, Grammar
from pycloud.shell.dispatch.runner import Options, Runner, Terminal, run_lines
from pycloud.shell.terminal.exit_codes import ExitCode, UsageError
from pycloud.shell.terminal.output import write_message


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``pycloudctl`` with ``argv`` (without the program's name; None: ``sys.argv``). Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    out, err = _streams()
    try:
        code = _dispatch(words, Terminal(out, err, os.environ))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _redirect_to_devnull(sys.stdout)
        return ExitCode.BROKEN_PIPE
    except OSError as error:  # e.g. a full disk: no more output can be written
        _redirect_to_devnull(sys.stdout)
        write_message(err, f"{PROGRAM}: {error.strerror}")
        return ExitCode.FAILED
    finally:
        _flush_stderr(err)


def _dispatch(words: Sequence[str], terminal: Terminal) -> int:
    grammar = Grammar(interactive=False)
    try:
        args = grammar.parse(words)
        client = _client(args)
    except (UsageError, ConfigError) as error:
        write_message(terminal.err, f"{PROGRAM}: {error.message}")
        return ExitCode.USAGE
    except SystemExit as done:  # raised by argparse after --help and --version
        sys.stdout.flush()
        return int(done.code or 0)
    with client:
        options = Options().overridden_by(args)
        if args.command:
            return Runner(client, grammar, options, terminal, _read_stdin).run(args)
        return _run_interactive(client, options, terminal)


def _run_interactive(client: Client, options: Options, terminal: Terminal) -> int:
    grammar = Grammar(interactive=True)
    if sys.stdin is None or not sys.stdin.isatty():
        return run_lines(Runner(client, grammar, options, terminal, _stdin_unavailable), sys.stdin or ())
    if not terminal.out.isatty():
        write_message(terminal.err, f"{PROGRAM}: the prompt needs a terminal; `{PROGRAM} help` lists the commands")
        return ExitCode.USAGE
    # prompt_toolkit takes longer to import than a command takes to run.
    from pycloud.shell.prompt.prompt import run_prompt

    return run_prompt(
        Runner(client, grammar, options, replace(terminal, error_prefix=""), _read_stdin),
        os.environ,
        Path("~").expanduser(),
    )


def _client(args: Namespace) -> Client:
    flags = {name: getattr(args, name, None) for name in ("redis", "namespace")}
    url, namespace = load_target(flags, Host.current(), config_file=getattr(args, "config", None))
    try:
        return Client(url, namespace=namespace, timeout=getattr(args, "timeout", None))
    except ValueError as error:
        raise ConfigError(f"redis: {error}") from error


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UsageError("standard input is closed, so the script cannot be read from it: name a file")
    if sys.stdin.isatty():
        write_message(sys.stderr, "Type the script, then press Ctrl-D on a line of its own.")
    return sys.stdin.buffer.read(MAX_SCRIPT_BYTES + 1)  # one byte more shows that it is too large


def _stdin_unavailable() -> bytes:
    raise UsageError("standard input contains the commands, so the script cannot be read from it: name a file")


def _streams() -> tuple[BinaryIO, TextIO]:
    """Standard output and error; a stream that was closed before the start is replaced by the null device."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    return sys.stdout.buffer, sys.stderr


def _flush_stderr(err: TextIO) -> None:
    """Flush ``err``. A failure (e.g. a full disk) must not change the exit code when Python closes the stream."""
    try:
        err.flush()
    except OSError:
        _redirect_to_devnull(err)


def _redirect_to_devnull(stream: TextIO) -> None:
    """Redirect ``stream`` to the null device, so that its flush at exit does not fail."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
