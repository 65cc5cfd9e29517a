"""What an engine's errors mean for whoever wants to start something."""

from __future__ import annotations

import pytest

from pycloud.errors import ImageDenied, ImageNotFound, StartFailed
from pycloud.runtimes.docker.engine.errors import EngineError, message_of, pull_failure, start_failure


@pytest.mark.parametrize(
    ("words", "logged_in", "kind"),
    [
        ("manifest for x:2 not found: manifest unknown: manifest unknown", True, ImageNotFound),
        ("pull access denied for x, repository does not exist or may require 'docker login'", False, ImageNotFound),
        ("pull access denied for x, repository does not exist or may require 'docker login'", True, ImageDenied),
        ("Get http://x/v2/: no basic auth credentials", False, ImageDenied),
        ("unauthorized: authentication required", True, ImageDenied),
        ("dial tcp 127.0.0.1:1: connect: connection refused", False, StartFailed),
        ("write /x: no space left on device", False, StartFailed),
    ],
)
def test_why_an_image_was_not_pulled(words: str, logged_in: bool, kind: type) -> None:
    error = pull_failure("x:2", EngineError(500, words), logged_in)
    assert type(error) is kind
    assert error.retryable
    assert words in error.message


def test_why_a_container_was_not_started() -> None:
    assert start_failure(EngineError(500, "mkdir /x: no space left on device")).retryable
    assert not start_failure(EngineError(400, "no such file or directory")).retryable
    error = OSError("outer")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert message_of(error) == "connection refused"
    error.__cause__.__cause__ = error  # a ring ends
    assert message_of(error)
