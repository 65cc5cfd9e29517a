"""Types of the commands' arguments."""

from __future__ import annotations

import argparse

import pytest

from pycloud.shell.base.command import key_value


def test_a_variable_is_key_and_value() -> None:
    assert key_value("A=b=c") == ("A", "b=c")
    assert key_value("A=") == ("A", "")
    for bad in ("A", "=b", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            key_value(bad)
