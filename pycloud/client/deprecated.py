"""Names of an earlier version of the library, which keep working and say what replaces them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def deprecated(replacement: Callable[P, T], old: str, new: str) -> Callable[P, T]:
    """A function that warns that ``old`` is now called ``new``, and then does what ``replacement`` does."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        warnings.warn(f"{old} is deprecated, use {new}", DeprecationWarning, stacklevel=2)
        return replacement(*args, **kwargs)

    call.__name__, call.__doc__ = old.rpartition(".")[2], f"Deprecated: use ``{new}``."
    return call
