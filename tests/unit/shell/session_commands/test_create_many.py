"""``create --count`` where a create fails in a way that was not expected."""

from __future__ import annotations

import itertools
import threading
from io import BytesIO, StringIO
from typing import Any

import pytest

from pycloud.shell.base.context import Context
from pycloud.shell.session_commands.create_many import create_many
from pycloud.shell.terminal.exit_codes import ExitCode
from pycloud.shell.terminal.output import Printer


class FailingClient:
    """Its requests raise ``error``."""

    def __init__(self, error: Exception) -> None:
        self.requests = itertools.count()
        self._error = error

    def request(self, _op: str, _fields: Any, *, timeout: float | None) -> Any:
        next(self.requests)
        raise self._error


def run(client: FailingClient, number: int) -> tuple[ExitCode, str]:
    """The exit code and the messages; fails where the command does not end."""
    err, codes = StringIO(), list[ExitCode]()
    printer = Printer(BytesIO(), err)
    context = Context(client, printer, None, "", str, bytes, {})  # type: ignore[arg-type]
    thread = threading.Thread(target=lambda: codes.append(create_many(context, {}, number)), daemon=True)
    thread.start()
    thread.join(10)
    assert codes, "it waits for a create that ended without a result"
    return codes[0], err.getvalue()


@pytest.mark.parametrize("error", [KeyError("port"), OSError(24, "Too many open files"), AssertionError()])
def test_an_unexpected_error_is_the_failure_of_its_create(error: Exception) -> None:
    client = FailingClient(error)
    code, messages = run(client, 50)
    assert code != ExitCode.DONE
    assert messages.startswith(f"50 of 50 not started: {type(error).__name__}: ")
    assert next(client.requests) == 50, "the others were sent all the same"


def test_fields_that_are_not_valid_end_the_batch() -> None:
    code, messages = run(FailingClient(ValueError("no such field")), 500)
    assert code != ExitCode.DONE
    assert "of 500 not started: no such field" in messages
