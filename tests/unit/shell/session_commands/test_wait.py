"""The exit code of ``wait``."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from pycloud.protocol.messages import StatusResponse
from pycloud.shell.session_commands.wait import exit_code_of

SESSION = "0123456789cccccccccc"


@pytest.mark.parametrize(
    ("state", "exit_code", "expected"),
    [
        ("exited", 0, 0),
        ("exited", 3, 3),
        ("exited", 143, 143),
        ("exited", None, 1),
        ("exited", 3221225786, 1),
        ("failed", UNSET, 1),
        ("removed", UNSET, 3),
        (UNSET, UNSET, 3),
        ("lost", UNSET, 124),
    ],
)
def test_exit_codes(state: str, exit_code: int, expected: int) -> None:
    code, said = exit_code_of(StatusResponse("c", SESSION, False, state, exit_code=exit_code, reason="why"))

    assert code == expected
    assert bool(said) == (code != exit_code)
