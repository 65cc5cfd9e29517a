"""What a client takes, and that it says so when it is closed."""

from __future__ import annotations

import pytest

from pycloud.client import Client

SESSION = "0123456789cccccccccc"


@pytest.mark.parametrize("url", ["localhost", "http://localhost", "redis://localhost?nonsense=1"])
def test_a_url_of_no_use_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError):
        Client(url)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Client(timeout=timeout)


def test_a_closed_client_says_so() -> None:
    client = Client()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.status(SESSION)
