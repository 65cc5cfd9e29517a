"""Value types of settings: how each is read from text and from TOML, and which values it rejects.

Flags and environment variables are text, which ``from_text`` first converts to the equivalent TOML value; ``read`` then
checks that, so that every source follows the same rules. Both raise ValueError with a reason that completes the
sentence "this setting ...". Pure, except for the working directory (relative paths) and home directories (``~``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycloud.transport.url import parse_redis_url

#: URL schemes of container engines.
ENGINE_SCHEMES = ("unix", "tcp", "http", "https")
#: Python's representation of bytes that are not UTF-8, in flags and environment variables.
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ValueType:
    """One type of value. ``placeholder`` stands for it in ``--help``; None means a flag without a value."""

    placeholder: str | None
    read: Callable[[object], Any]
    from_text: Callable[[str], object] = lambda text: text


def text(placeholder: str, *, forbidden: str = "") -> ValueType:
    """A printable word without spaces and without any of the characters in ``forbidden``."""

    def read(value: object) -> str:
        word = _string(value)
        bad = next((char for char in word if char.isspace() or not char.isprintable() or char in forbidden), None)
        if bad is not None:
            raise ValueError(f"must not contain {bad!r}")
        return word

    return ValueType(placeholder, read)


def choice(*names: str) -> ValueType:
    """One of ``names``."""

    def read(value: object) -> str:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {value!r}")
        return str(value)

    return ValueType("|".join(names), read)


def integer(placeholder: str, low: int, high: int) -> ValueType:
    """A whole number from ``low`` to ``high``."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"must be a whole number, not {value!r}")
        return int(_within(value, low, high))

    return ValueType(placeholder, read, _number(int, "whole number"))


def number(placeholder: str, what: str, low: float, high: float) -> ValueType:
    """A number from ``low`` to ``high``, fractions allowed; ``what`` names it in errors."""

    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"must be a {what}, not {value!r}")
        return float(_within(value, low, high))

    return ValueType(placeholder, read, _number(float, what))


def seconds(low: float, high: float) -> ValueType:
    """A number of seconds from ``low`` to ``high``."""
    return number("SECONDS", "number of seconds", low, high)


def boolean() -> ValueType:
    """True or false."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value

    return ValueType(None, read, lambda word: words.get(word.lower(), word))


def path(placeholder: str) -> ValueType:
    """An absolute path; a leading ``~`` is expanded. Text may be relative to the working directory."""

    def read(value: object) -> Path:
        try:
            result = Path(_string(value)).expanduser()
        except RuntimeError as error:
            raise ValueError(f"names an unknown home directory: {error}") from None
        if "\0" in str(result) or not result.is_absolute():
            raise ValueError(f"must be an absolute path or begin with ~/, not {value!r}")
        return result

    def from_text(word: str) -> object:
        # The daemon changes its directory to /, so a relative path must be resolved now.
        return str(Path.cwd() / word) if word and not word.startswith("~") else word

    return ValueType(placeholder, read, from_text)


def variable_names() -> ValueType:
    """Names of environment variables: a list in TOML, separated by commas in text."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list of names, not {value!r}")
        for name in value:
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"must hold names of environment variables, and {name!r} is none")
        return tuple(value)

    return ValueType("NAMES", read, _split)


def runtimes(known: tuple[str, ...]) -> ValueType:
    """``auto``, or some of ``known``: one of them as text, several as a list in TOML, separated by commas in text."""

    def read(value: object) -> tuple[str, ...]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names:
            raise ValueError(f"must be auto, or some of {', '.join(known)}, not {value!r}")
        for name in names:
            if name not in (known if names != ["auto"] else ("auto",)):
                raise ValueError(f"must be auto, or some of {', '.join(known)}, not {name!r}")
        return tuple(dict.fromkeys(names))

    return ValueType("|".join(("auto", *known)), read, _split)


def words(placeholder: str) -> ValueType:
    """Any words: a list in TOML, separated by commas in text."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
            raise ValueError(f"must be a list of words, not {value!r}")
        return tuple(value)

    return ValueType(placeholder, read, _split)


def table(placeholder: str) -> ValueType:
    """Values of any type by name: a table in TOML, a JSON object in text."""

    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"must be a table, not {value!r}")
        return dict(value)

    def from_text(text: str) -> object:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"must be a JSON object: {error}") from None

    return ValueType(placeholder, read, from_text)


def labels() -> ValueType:
    """Text by name: a table in TOML, ``NAME=VALUE,NAME=VALUE`` in text."""

    def read(value: object) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict):
            raise ValueError(f"must be NAME=VALUE pairs, not {value!r}")
        for name, word in value.items():
            if not name or not isinstance(word, str) or _SURROGATE.search(name + word):
                raise ValueError(f"must hold text by name, and {name!r} does not")
        return tuple(value.items())

    def from_text(pairs: str) -> object:
        split = [pair.strip().partition("=") for pair in pairs.split(",") if pair.strip()]
        return {name: word for name, _, word in split} if all(equals for _, equals, _ in split) else pairs

    return ValueType("NAME=VALUE,...", read, from_text)


def port_range() -> ValueType:
    """``LOW-HIGH``, both ends included."""

    def read(value: object) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", _string(value), flags=re.ASCII)
        if match is None:
            raise ValueError(f"must be LOW-HIGH, as in 40000-40999, not {value!r}")
        low, high = int(match[1]), int(match[2])
        if not 1 <= low <= high <= 65535:
            raise ValueError(f"must lie between 1 and 65535, the lower port first, not {value!r}")
        return low, high

    return ValueType("LOW-HIGH", read)


def engine_url() -> ValueType:
    """The URL of a container engine, kept as text."""

    def read(value: object) -> str:
        url = _string(value)
        scheme, found, rest = url.partition("://")
        if not found and url.startswith("/"):
            raise ValueError(f"must be a URL; did you mean unix://{url}?")
        if scheme not in ENGINE_SCHEMES or not rest:
            raise ValueError(f"must begin with {', '.join(f'{each}://' for each in ENGINE_SCHEMES)}, not {url!r}")
        return url

    return ValueType("URL", read)


def redis_url() -> ValueType:
    """A URL of scheme redis, rediss or unix, kept as text."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a Redis URL in quotes")
        parse_redis_url(value)
        return value

    return ValueType("URL", read)


def _split(text: str) -> object:
    return [word.strip() for word in text.split(",") if word.strip()]


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    if not value:
        raise ValueError("must not be empty")
    return value


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError(f"must be between {low:.15g} and {high:.15g}, not {value:.15g}")
    return value


def _number(convert: Callable[[str], object], what: str) -> Callable[[str], object]:
    def from_text(word: str) -> object:
        try:
            return convert(word)
        except ValueError:
            raise ValueError(f"must be a {what}, not {word!r}") from None

    return from_text
