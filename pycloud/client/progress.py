"""Deprecated location of names of ``pycloud.client``; importing them from here warns."""

from __future__ import annotations

from typing import Any

from pycloud.client.deprecated import load_renamed


def __getattr__(name: str) -> Any:
    return load_renamed(__name__, name)
