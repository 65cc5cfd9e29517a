"""Deprecated names of earlier versions of the library: they keep working, and warn with their replacement."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: New module and name by old module and name.
RENAMED = {
    ("pycloud.client", "KnownCloud"): ("pycloud.client.records", "KnownNode"),
    ("pycloud.client", "Pulse"): ("pycloud.client.health", "HealthSnapshot"),
    ("pycloud.client.clouds", "KnownCloud"): ("pycloud.client.records", "KnownNode"),
    ("pycloud.client.progress", "Ended"): ("pycloud.client", "Ended"),
    ("pycloud.client.progress", "Output"): ("pycloud.client", "Output"),
    ("pycloud.client.progress", "Skipped"): ("pycloud.client", "Skipped"),
    ("pycloud.client.pulse", "Pulse"): ("pycloud.client.health", "HealthSnapshot"),
}


def deprecated(replacement: Callable[P, T], old: str, new: str) -> Callable[P, T]:
    """A function that warns that ``old`` is now called ``new``, and then calls ``replacement``."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        _warn(old, new, 3)
        return replacement(*args, **kwargs)

    call.__name__, call.__doc__ = old.rpartition(".")[2], f"Deprecated: use ``{new}``."
    return call


def deprecated_attribute(old: str, new: str) -> Any:
    """A read-only attribute that warns that ``old`` (class and attribute) is now ``new``, and has its value."""

    def read(self: Any) -> Any:
        _warn(old, new, 3)
        return getattr(self, new)

    return property(read, doc=f"Deprecated: use ``{new}``.")


def load_renamed(module: str, name: str) -> Any:
    """The value that ``name`` in ``module`` stood for. Raises AttributeError for a name that never existed."""
    if (module, name) not in RENAMED:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    new_module, new_name = RENAMED[module, name]
    _warn(f"{module}.{name}", f"{new_module}.{new_name}", 4)
    return getattr(import_module(new_module), new_name)


def _warn(old: str, new: str, level: int) -> None:
    warnings.warn(f"{old} is deprecated, use {new}", DeprecationWarning, stacklevel=level)
