"""What values settings may have: msgspec types with constraints, and the few kinds that are read by hand.

Flags and environment variables are text, which is first converted to the equivalent TOML value, so that every source
follows the same rules. A rejected value raises ValueError with a reason that completes the sentence "this setting ...".
Pure, except for the working directory (relative paths) and home directories (``~``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

from pycloud.config.plugins import installed
from pycloud.protocol.container_spec import RUNTIME_NAMES
from pycloud.transport.url import parse_redis_url

#: URL schemes of container engines.
ENGINE_SCHEMES = ("unix", "tcp", "http", "https")
#: Python's representation of bytes that are not UTF-8, in flags and environment variables.
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Words for booleans, in lower case.
_BOOLEANS = {**dict.fromkeys(("1", "true", "yes", "on"), True), **dict.fromkeys(("0", "false", "no", "off"), False)}


@dataclass(frozen=True)
class ByHand:
    """A kind of value that no msgspec type describes: ``read`` checks a TOML value, ``from_text`` makes one of text."""

    read: Callable[[object], Any]
    from_text: Callable[[str], object] = lambda text: text


def number(what: str, placeholder: str, low: float, high: float) -> msgspec.Meta:
    """The limits of a number, both included; ``what`` names it in errors, ``placeholder`` in ``--help``."""
    return msgspec.Meta(ge=low, le=high, title=placeholder, description=f"a {what} from {low:.15g} to {high:.15g}")


seconds, factor = partial(number, "number of seconds", "SECONDS"), partial(number, "number", "NUMBER")
count, size = partial(number, "whole number", "COUNT"), partial(number, "whole number", "BYTES")


def read(kind: Any, value: object, *, is_text: bool) -> Any:
    """``value`` as the annotated type ``kind`` declares it. Raises ValueError."""
    given = value
    by_hand = next((each for each in kind.__metadata__ if isinstance(each, ByHand)), None)
    if is_text:
        value = by_hand.from_text(str(value)) if by_hand else _from_text(kind.__origin__, str(value))
    if by_hand:
        return by_hand.read(value)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        item = re.search(r"`\$\[(\d+)\]`$", str(error))
        rejected = value[int(item[1])] if item and isinstance(value, list) else given
        raise ValueError(f"must be {_allowed(kind)}, not {rejected!r}") from None


def _from_text(base: Any, text: str) -> object:
    """The TOML value that ``text`` stands for; text that is none of the kind ``base`` stays text, which is rejected."""
    if base in (int, float):
        try:
            return base(text)  # as Python writes numbers: spaces around it, a sign, `.5`, `1_000`
        except ValueError:
            return text
    if get_origin(base) is tuple:
        return _split(text)
    if get_origin(base) is Mapping:
        return _parse_json(text)
    return _BOOLEANS.get(text.lower(), text) if base is bool else text


def _allowed(kind: Any) -> str:
    """The values that ``kind`` allows, in words."""
    described = [str(each.description) for each in kind.__metadata__ if isinstance(each, msgspec.Meta)]
    return described[0] if described else f"one of {', '.join(get_args(kind.__origin__))}"


def _parse_json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be a JSON object: {error}") from None


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    if not value:
        raise ValueError("must not be empty")
    return value


def _word(value: object, forbidden: str = "") -> str:
    word = _string(value)
    bad = next((char for char in word if char.isspace() or not char.isprintable() or char in forbidden), None)
    if bad is not None:
        raise ValueError(f"must not contain {bad!r}")
    return word


def _path(value: object) -> Path:
    try:
        result = Path(_string(value)).expanduser()
    except RuntimeError as error:
        raise ValueError(f"names an unknown home directory: {error}") from None
    if "\0" in str(result) or not result.is_absolute():
        raise ValueError(f"must be an absolute path or begin with ~/, not {value!r}")
    return result


def _runtimes(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if names == ["auto"]:
        return ("auto",)
    if not isinstance(names, list) or not names:
        raise ValueError(f"must be auto, or some of {', '.join(RUNTIME_NAMES)}, not {value!r}")
    if others := [name for name in names if name not in RUNTIME_NAMES]:
        known = (*RUNTIME_NAMES, *installed())
        if unknown := [name for name in others if name not in known]:
            raise ValueError(f"must be auto, or some of {', '.join(known)}, not {unknown[0]!r}")
    return tuple(dict.fromkeys(names))


def _labels(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError(f"must be NAME=VALUE pairs, not {value!r}")
    for name, word in value.items():
        if not name or not isinstance(word, str) or _SURROGATE.search(name + word):
            raise ValueError(f"must map names to text, but {name!r} does not")
    return tuple(value.items())


def _labels_from_text(pairs: str) -> object:
    split = [pair.partition("=") for pair in _split(pairs)]
    return {name: word for name, _, word in split} if all(equals for _, equals, _ in split) else pairs


def _port_range(value: object) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", _string(value), flags=re.ASCII)
    if match is None:
        raise ValueError(f"must be LOW-HIGH, as in 40000-40999, not {value!r}")
    low, high = int(match[1]), int(match[2])
    if not 1 <= low <= high <= 65535:
        raise ValueError(f"must lie between 1 and 65535, the lower port first, not {value!r}")
    return low, high


def engine_url(value: object) -> str:
    """The URL of a container engine, unchanged. Raises ValueError."""
    url = _string(value)
    scheme, found, rest = url.partition("://")
    if not found and url.startswith("/"):
        raise ValueError(f"must be a URL; did you mean unix://{url}?")
    if scheme not in ENGINE_SCHEMES or not rest:
        raise ValueError(f"must begin with {', '.join(f'{each}://' for each in ENGINE_SCHEMES)}, not {url!r}")
    return url


def _redis_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a Redis URL in quotes")
    parse_redis_url(value)
    return value


#: A printable word without spaces; that of a namespace also without braces.
WORD, NAMESPACE = ByHand(_word), ByHand(lambda value: _word(value, "{}"))
#: An absolute path; a leading ``~`` is expanded. Text may be relative to the working directory, which a daemon leaves.
PATH = ByHand(_path, lambda text: str(Path.cwd() / text) if text and not text.startswith("~") else text)
#: ``auto``, or names of runtimes (built in, or installed): text, or a list in TOML; separated by commas in text.
RUNTIMES = ByHand(_runtimes, _split)
#: Text by name: a table in TOML, ``NAME=VALUE,NAME=VALUE`` in text.
LABELS = ByHand(_labels, _labels_from_text)
PORT_RANGE, ENGINE_URL, REDIS_URL = ByHand(_port_range), ByHand(engine_url), ByHand(_redis_url)
#: Words, and names of variables: a list in TOML, separated by commas in text.
Words = Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1)], ...], msgspec.Meta(description="a list of words")]
VariableNames = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z")], ...],
    msgspec.Meta(description="a list of names of environment variables"),
]
#: Values of any type by name: a table in TOML, a JSON object in text.
Table = Annotated[Mapping[str, Any], msgspec.Meta(description="a table")]
Switch = Annotated[bool, msgspec.Meta(description="true or false")]
