"""The errors of the client, and what they have in common."""

from __future__ import annotations

from pycloud import client as library
from pycloud.errors import PyCloudError


def test_all_errors_have_one_root() -> None:
    kinds = [getattr(library, name) for name in library.__all__]

    assert all(issubclass(kind, PyCloudError) for kind in kinds if issubclass(kind, Exception))
