"""Image scripts: the first line is an image, the rest one JSON object of options, which may be left out. Pure.

What the options mean and which of them are allowed is not decided here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.errors import BadRequest
from pycloud.protocol.image_reference import LONGEST, is_reference, read_reference

#: What a script may be run as.
KINDS = ("script", "docker")
#: No option needs so many objects and lists in each other.
DEEPEST = 32
SHOWN = 80

_FIRST_LINE = re.compile(rf"[ \t\r\n]*([A-Za-z0-9\[][A-Za-z0-9_.:/@\[\]-]{{0,{LONGEST}}})[ \t]*(?:\r?\n|\Z)")
_BLANK = re.compile(r"[ \t\r\n]*")
#: As it begins, or as people write it who do not know JSON well: with other quotes, or with none.
_LIKE_AN_OBJECT = re.compile(r"""\{[ \t\r\n]*(?:["'}]|\w+[ \t]*:)""")
#: All of it on one line.
_ONE_LINE = re.compile(
    rf"""[ \t\r\n]*[A-Za-z0-9][\w.-]{{0,{LONGEST}}}[/:][\w.:/@-]{{0,{LONGEST}}}[ \t]+\{{[ \t]*["']"""
)


@dataclass(frozen=True)
class ImageScript:
    """``image`` is the full reference, ``shown`` as it was written; ``options``: what the JSON object held."""

    image: str
    shown: str
    options: Mapping[str, Any]


def kinds_of(script: str) -> tuple[str, ...]:
    """Which of KINDS ``script`` may be: both for the name of an image and nothing else.

    It is an image script when what follows the image begins like a JSON object, and also where that or the image is
    only nearly right: ``parse`` says what is wrong with it, and a shell that ran it would tell nobody.
    """
    line = _FIRST_LINE.match(script)
    if line is None:
        return ("docker",) if _ONE_LINE.match(script) else ("script",)
    word, start = line[1], _after_blanks(script, line.end())
    if start == len(script):
        return KINDS if is_reference(word) else ("script",)
    like_an_image = is_reference(word) or "/" in word or ":" in word
    return ("docker",) if like_an_image and _LIKE_AN_OBJECT.match(script, start) else ("script",)


def parse(script: str) -> ImageScript:
    """The image script in ``script``, whether it looks like one or not. Raises BadRequest, which says what is wrong."""
    line = _FIRST_LINE.match(script)
    if line is None:
        first = script.strip(" \t\r\n").partition("\n")[0].strip()
        raise BadRequest(
            "the first line of an image script is an image and nothing else, as in year4000/pycloud:1.2; "
            f"it is {json.dumps(first[:SHOWN])}"
        )
    try:
        reference = read_reference(line[1])
    except ValueError as error:
        raise BadRequest(f"line {_line_of(script, line.start(1))}: {line[1][:SHOWN]} {error}") from error
    return ImageScript(str(reference), line[1], _options(script, _after_blanks(script, line.end())))


def _after_blanks(script: str, start: int) -> int:
    blank = _BLANK.match(script, start)
    return blank.end() if blank else start


def _options(script: str, start: int) -> dict[str, Any]:
    if start == len(script):
        return {}
    if script[start] != "{":
        raise BadRequest(f"{_place(script, start)}: after the image comes one JSON object of options, or nothing")
    try:
        options, end = _decoder.raw_decode(script, start)
    except json.JSONDecodeError as error:
        raise BadRequest(f"{_place(script, error.pos)}: the options are no JSON: {error.msg}") from error
    except RecursionError as error:
        raise BadRequest("the options are nested too deeply") from error
    except ValueError as error:
        raise BadRequest("the options hold a number that is too long") from error
    rest = _after_blanks(script, end)
    if rest != len(script):
        raise BadRequest(f"{_place(script, rest)}: there is more after the JSON object of options")
    _check(options, DEEPEST)
    return dict(options)


def _place(script: str, position: int) -> str:
    return f"line {_line_of(script, position)}, column {position - script.rfind(chr(10), 0, position)}"


def _line_of(script: str, position: int) -> int:
    return script.count("\n", 0, position) + 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two equal keys counts is for each reader to choose: one might check one, the next use the other."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest(f"the options have {json.dumps(name[:SHOWN])} twice in one object")
        found[name] = value
    return found


def _no_number(word: str) -> float:
    raise BadRequest(f"the options hold {word}, which is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadRequest(f"the options hold {digits[:SHOWN]}, a number that is too large")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite)


def _check(value: object, room: int) -> None:
    """Refuses what no later reader is prepared for: depth, and text that cannot be written as UTF-8 or ends early."""
    if isinstance(value, str) and not _is_text(value):
        raise BadRequest(f"the options hold {json.dumps(value[:SHOWN])}, which is no text: NUL, or half a character")
    if isinstance(value, dict | list):
        if not room:
            raise BadRequest(f"the options are nested too deeply, more than {DEEPEST} objects and lists in each other")
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(part, room - 1)


def _is_text(value: str) -> bool:
    return "\0" not in value and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value))
