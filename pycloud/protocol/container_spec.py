"""Image scripts: the first line is an image, the rest an optional JSON object of options. Pure.

The meaning of the options, and which of them are allowed, is not decided here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.errors import BadRequest
from pycloud.protocol.image_reference import EXAMPLE_IMAGE, MAX_REFERENCE_LENGTH, is_reference, parse_reference

#: Names of the built-in runtimes.
RUNTIME_NAMES = ("script", "docker")
#: What a create needs, and what to do, where no eligible node has the built-in runtime for it.
MISSING_RUNTIME = {
    "script": ("this is a script, but no eligible node runs scripts", "Add script to the setting `runtime` of one"),
    "docker": ("this is a container image, but no eligible node has a container engine", "Start Docker on one"),
}
#: Levels of nested objects and lists in the options; no option needs more.
MAX_DEPTH = 32
MAX_QUOTED_LENGTH = 80

_FIRST_LINE = re.compile(
    rf"[ \t\r\n]*([A-Za-z0-9\[][A-Za-z0-9_.:/@\[\]-]{{0,{MAX_REFERENCE_LENGTH}}})[ \t]*(?:\r?\n|\Z)"
)
_WHITESPACE = re.compile(r"[ \t\r\n]*")
#: The beginning of a JSON object, also with common mistakes: single quotes, or unquoted keys.
_OBJECT_START = re.compile(r"""\{[ \t\r\n]*(?:["'}]|\w+[ \t]*:)""")
#: An image and the beginning of an object on the same line, which is a common mistake.
_SINGLE_LINE_SPEC = re.compile(
    rf"""[ \t\r\n]*[A-Za-z0-9][\w.-]{{0,{MAX_REFERENCE_LENGTH}}}[/:]"""
    rf"""[\w.:/@-]{{0,{MAX_REFERENCE_LENGTH}}}[ \t]+\{{[ \t]*["']"""
)


@dataclass(frozen=True)
class ContainerSpec:
    """``image`` is the full reference, ``as_written`` the one in the script; ``options`` is the parsed JSON object."""

    image: str
    as_written: str
    options: Mapping[str, Any]


#: Whether a script is for a plugin, for each that this node runs: ``set_plugins``.
_plugins: dict[str, Callable[[str], bool]] = {}


def set_plugins(matches: Mapping[str, Callable[[str], bool]]) -> None:
    """Set the plugins that this node runs, the preferred one first, and whether a script is for them."""
    _plugins.clear()
    _plugins.update(matches)


def possible_runtimes(script: str) -> tuple[str, ...]:
    """Which runtimes can run ``script`` where the request names none, the preferred one first.

    The plugins of this node that match it come before the built-in runtimes, which have a rule for any script.
    """
    if not _plugins:
        return built_in_runtimes(script)
    return (*(kind for kind, matches in _plugins.items() if matches(script)), *built_in_runtimes(script))


def built_in_runtimes(script: str) -> tuple[str, ...]:
    """Which of RUNTIME_NAMES can run ``script``: both where it consists of an image name and nothing else.

    It is an image script where the text after the image begins like a JSON object, and also where that or the image is
    almost right: ``parse`` then reports the mistake, which a shell running the script would not.
    """
    line = _FIRST_LINE.match(script)
    if line is None:
        return ("docker",) if _SINGLE_LINE_SPEC.match(script) else ("script",)
    word, start = line[1], _skip_whitespace(script, line.end())
    if start == len(script):
        return RUNTIME_NAMES if is_reference(word) else ("script",)
    like_an_image = is_reference(word) or "/" in word or ":" in word
    return ("docker",) if like_an_image and _OBJECT_START.match(script, start) else ("script",)


def parse(script: str) -> ContainerSpec:
    """Parse ``script`` as an image script, whether it looks like one or not. Raises BadRequest with the mistake."""
    line = _FIRST_LINE.match(script)
    if line is None:
        first = script.strip(" \t\r\n").partition("\n")[0].strip()
        raise BadRequest(
            f"the first line of an image script must be an image and nothing else, as in {EXAMPLE_IMAGE}; "
            f"it is {json.dumps(first[:MAX_QUOTED_LENGTH])}"
        )
    try:
        reference = parse_reference(line[1])
    except ValueError as error:
        raise BadRequest(f"line {_line_of(script, line.start(1))}: {line[1][:MAX_QUOTED_LENGTH]} {error}") from error
    return ContainerSpec(str(reference), line[1], _parse_options(script, _skip_whitespace(script, line.end())))


def _skip_whitespace(script: str, start: int) -> int:
    blank = _WHITESPACE.match(script, start)
    return blank.end() if blank else start


def _parse_options(script: str, start: int) -> dict[str, Any]:
    if start == len(script):
        return {}
    if script[start] != "{":
        raise BadRequest(f"{_line_and_column(script, start)}: only one JSON object of options may follow the image")
    try:
        options, end = _decoder.raw_decode(script, start)
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"{_line_and_column(script, error.pos)}: the options are not valid JSON: {error.msg}"
        ) from error
    except RecursionError as error:
        raise BadRequest("the options are nested too deeply") from error
    except ValueError as error:
        raise BadRequest("the options contain a number that is too long") from error
    rest = _skip_whitespace(script, end)
    if rest != len(script):
        raise BadRequest(f"{_line_and_column(script, rest)}: nothing may follow the JSON object of options")
    _validate(options, MAX_DEPTH)
    return dict(options)


def _line_and_column(script: str, position: int) -> str:
    return f"line {_line_of(script, position)}, column {position - script.rfind(chr(10), 0, position)}"


def _line_of(script: str, position: int) -> int:
    return script.count("\n", 0, position) + 1


def _object_with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object from its pairs. Raises BadRequest for equal keys.

    JSON does not define which of two equal keys counts: the policy check might use one, the engine the other.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest(f"the options have the key {json.dumps(name[:MAX_QUOTED_LENGTH])} twice in one object")
        found[name] = value
    return found


def _reject_constant(word: str) -> float:
    raise BadRequest(f"the options contain {word}, which is not valid JSON")


def _parse_finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadRequest(f"the options contain {digits[:MAX_QUOTED_LENGTH]}, a number that is too large")
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_object_with_unique_keys, parse_constant=_reject_constant, parse_float=_parse_finite_float
)


def _validate(value: object, depth_left: int) -> None:
    """Raise BadRequest for values that no later code can handle: deep nesting, NUL, and unpaired surrogates."""
    if isinstance(value, str) and not _is_text(value):
        raise BadRequest(
            f"the options contain {json.dumps(value[:MAX_QUOTED_LENGTH])}, which is not text: NUL, or half a character"
        )
    if isinstance(value, dict | list):
        if not depth_left:
            raise BadRequest(f"the options are nested too deeply: more than {MAX_DEPTH} levels of objects and lists")
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            _validate(part, depth_left - 1)


def _is_text(value: str) -> bool:
    return "\0" not in value and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value))
