"""What the values of container options may look like, and the one form of each in which the rest sees it. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.errors import BadRequest

SHOWN = 80
#: The engine counts in 64 bits.
MOST, LEAST = 2**63 - 1, -(2**63)
#: Above it, a number with a fraction no longer says which whole number was meant.
EXACT = 2**53
#: Bytes. What starts a container repeats texts in its errors, escaped; an error that outgrows a pipe (64 KiB) is never
#: read, and the container can be neither started nor removed any more. The kernel takes no path that is longer.
LONGEST_TEXT = 4095
#: The kernel's limit for one argument of a program, without the NUL behind it.
LONGEST_WORD = 128 * 1024 - 1
#: Splitting a line takes the square of its longest word, and everybody else waits meanwhile.
LONGEST_LINE = 16 * 1024
UNITS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}

_SIZE = re.compile(r"(-1(?=\Z)|[0-9]{1,19}(?:\.[0-9]{1,9})?) ?([bkmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}")


@dataclass(frozen=True)
class Shape:
    """One shape. ``what`` completes "it must be ..."; ``read`` returns the one form, or raises ValueError.

    The error's text, where there is one, is said beside ``what``.
    """

    what: str
    read: Callable[[Any], Any]

    def of(self, name: str, value: object) -> Any:
        """``value`` in its one form. Raises BadRequest, which names the option, what it is and what it must be."""
        try:
            return self.read(value)
        except ValueError as error:
            reason = f" ({error})" if str(error) else ""
            raise BadRequest(f"`{name}` is {shown(value)}{reason}; it must be {self.what}") from error


def shown(value: object) -> str:
    """``value`` as JSON, cut to a length that fits into a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value))
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def read_text(value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError
    return value


def read_whole(value: object) -> int:
    """A whole number of 64 bits; ``1e9`` is one."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not LEAST <= value <= MOST:
        raise ValueError
    return value


def read_port(value: object) -> str:
    """``80``, ``"80"``, ``"80/udp"`` -> ``"80/tcp"``, ``"80/udp"``."""
    found = _PORT.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return f"{int(found[1])}/{found[2] or 'tcp'}"


def bytes_of(text: str) -> int:
    """How long it is in UTF-8."""
    return len(text.encode(errors="surrogatepass"))


def read_short(value: object, most: int = LONGEST_TEXT) -> str:
    """A string of at most so many bytes."""
    if bytes_of(read_text(value)) > most:
        raise ValueError(f"{shown(value)[:20]}... has more than {most} bytes")
    return read_text(value)


def is_volume_name(value: str) -> bool:
    """Whether the engine takes it for the name of a volume: no path, and never mistaken for one."""
    return _NAME.fullmatch(value) is not None


def text(what: str = "a string") -> Shape:
    """Any string."""
    return Shape(what, read_short)


def matching(what: str, pattern: str) -> Shape:
    """A string, all of which ``pattern`` matches."""

    def read(value: object) -> str:
        if not re.fullmatch(pattern, read_short(value), re.ASCII):
            raise ValueError
        return read_text(value)

    return Shape(what, read)


def switch() -> Shape:
    """True or false."""

    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return Shape("true or false", read)


def whole(what: str = "a whole number", low: int = LEAST, high: int = MOST) -> Shape:
    """A whole number from ``low`` to ``high``."""

    def read(value: object) -> int:
        number = read_whole(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return Shape(what, read)


def size(*, unlimited: bool = False) -> Shape:
    """Bytes, as a number or with a unit; ``unlimited``: -1 too. The one form: the number of bytes."""

    def read(value: object) -> int:
        if isinstance(value, str):
            found = _SIZE.fullmatch(value)
            if found is None:
                raise ValueError
            number, shift = found[1], UNITS[found[2].lower()]
            value = int(float(number) * 2**shift) if "." in number else int(number) << shift
        count = read_whole(value)
        if count < 0 and not (unlimited and count == -1):
            raise ValueError
        return count

    return Shape('a number of bytes, or a string as in "64m" or "1g"' + (", or -1 for no limit" * unlimited), read)


def texts(what: str = "a list of strings", most: int = LONGEST_TEXT) -> Shape:
    """A list of strings of at most ``most`` bytes each."""

    def read(value: object) -> list[str]:
        if not isinstance(value, list):
            raise ValueError
        return [read_short(word, most) for word in value]

    return Shape(what, read)


def command() -> Shape:
    """A list of words, or a line that is split as a shell would."""

    def read(value: object) -> list[str]:
        if not isinstance(value, str):
            return list(texts(most=LONGEST_WORD).read(value))
        if bytes_of(value) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE} bytes has to be a list")
        return shlex.split(value)

    return Shape("a string or a list of strings", read)


def user() -> Shape:
    """A name or a number."""

    def read(value: object) -> str:
        return read_short(value) if isinstance(value, str) else str(read_whole(value))

    return Shape("a string or a whole number", read)


def words_by_name(what: str, *, absent: str | None = "", split: str = "=", bare: bool = True) -> Shape:
    """Text by name: an object, or a list of ``NAME=VALUE`` (``split``) or, where ``bare``, of bare names.

    Numbers become text; null, and what a bare name has, becomes ``absent``.
    """

    def word(value: object) -> str | None:
        if value is None:
            return absent
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return read_text(value)

    def read(value: object) -> dict[str, str | None]:
        if isinstance(value, list):
            pairs = [read_text(line).partition(split) for line in value]
            if not bare and not all(mark for _, mark, _ in pairs):
                raise ValueError
            value = {name: text if mark else None for name, mark, text in pairs}
        if not isinstance(value, dict):
            raise ValueError
        for name in value:
            if not read_text(name) or split in name:
                raise ValueError(f"a name is empty or has {split!r} in it")
        return {name: word(text) for name, text in value.items()}

    return Shape(what, read)


def record(what: str, fields: Mapping[str, Shape], *, needed: tuple[str, ...] = ()) -> Shape:
    """An object with these fields at most, ``StartPeriod`` being ``start_period``. Nulls are left out."""

    def folded(name: str) -> str:
        return name.lower().replace("_", "")

    known = {folded(name): name for name in fields}

    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError
        found: dict[str, Any] = {}
        for name, part in value.items():
            field = known.get(folded(read_text(name)))
            if field is None or field in found:
                raise ValueError(f"{shown(name)} is unknown or there twice; there are {', '.join(fields)}")
            if part is not None:
                try:
                    found[field] = fields[field].read(part)
                except ValueError:
                    raise ValueError(f"its {field} must be {fields[field].what}") from None
        if missing := [name for name in needed if name not in found]:
            raise ValueError(f"there is no {missing[0]}")
        return found

    return Shape(what, read)


def many(what: str, part: Shape) -> Shape:
    """A list of things of one shape."""

    def read(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError
        return [part.read(each) for each in value]

    return Shape(what, read)


def at_most(count: int, shape: Shape) -> Shape:
    """``shape``, but no list or object of more than ``count`` entries."""

    def read(value: object) -> Any:
        if isinstance(value, list | dict) and len(value) > count:
            raise ValueError(f"more than {count}")
        return shape.read(value)

    return Shape(shape.what, read)


def either(what: str, *shapes: Shape) -> Shape:
    """The first of ``shapes`` that fits."""

    def read(value: object) -> Any:
        for shape in shapes:
            try:
                return shape.read(value)
            except ValueError:
                continue
        raise ValueError

    return Shape(what, read)


def table(what: str = "an object") -> Shape:
    """An object that is handed on as it is."""

    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise ValueError
        return dict(value)

    return Shape(what, read)
