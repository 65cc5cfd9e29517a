"""The types of container options: the values that each accepts, and the canonical form used elsewhere. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.errors import BadRequest

MAX_SHOWN = 80
#: The engine uses 64-bit integers.
INT64_MAX, INT64_MIN = 2**63 - 1, -(2**63)
#: Above it, a float does not identify an integer exactly.
MAX_EXACT_FLOAT = 2**53
#: Bytes. The program that starts a container repeats texts in its errors, escaped; an error larger than a pipe (64 KiB)
#: is never read, and the container can be neither started nor removed any more. The kernel accepts no longer path.
MAX_TEXT_BYTES = 4095
#: The kernel's limit for one argument of a program, in bytes without the terminating NUL.
MAX_ARGUMENT_BYTES = 128 * 1024 - 1
#: Bytes. Splitting a line takes time quadratic in its longest word, and blocks all other greenlets.
MAX_COMMAND_LINE_BYTES = 16 * 1024
UNITS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}

_SIZE = re.compile(r"(-1(?=\Z)|[0-9]{1,19}(?:\.[0-9]{1,9})?) ?([bkmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}")


@dataclass(frozen=True)
class FieldType:
    """The type of a value. ``description`` completes "it must be ..."; ``read`` returns the canonical form.

    ``read`` raises ValueError, whose text, if any, is added to the error message.
    """

    description: str
    read: Callable[[Any], Any]

    def parse(self, name: str, value: object) -> Any:
        """Return ``value`` in canonical form. Raises BadRequest with the option, its value and its description."""
        try:
            return self.read(value)
        except ValueError as error:
            reason = f" ({error})" if str(error) else ""
            raise BadRequest(f"`{name}` is {shown(value)}{reason}; it must be {self.description}") from error


def shown(value: object) -> str:
    """Return ``value`` as JSON, truncated for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def read_text(value: object) -> str:
    """Read a string. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError
    return value


def read_integer(value: object) -> int:
    """Read a 64-bit integer; a float without a fraction, as in 1e9, is accepted. Raises ValueError."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT_FLOAT:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not INT64_MIN <= value <= INT64_MAX:
        raise ValueError
    return value


def read_port(value: object) -> str:
    """Read a port: ``80``, ``"80"``, ``"80/udp"`` -> ``"80/tcp"``, ``"80/tcp"``, ``"80/udp"``. Raises ValueError."""
    found = _PORT.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return f"{int(found[1])}/{found[2] or 'tcp'}"


def utf8_length(text: str) -> int:
    """Return the length of the text in UTF-8, in bytes."""
    return len(text.encode(errors="surrogatepass"))


def read_bounded_text(value: object, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a string of at most ``max_bytes`` bytes. Raises ValueError."""
    if utf8_length(read_text(value)) > max_bytes:
        raise ValueError(f"{shown(value)[:20]}... has more than {max_bytes} bytes")
    return read_text(value)


def is_volume_name(value: str) -> bool:
    """Return whether the engine accepts this as the name of a volume, which is never mistaken for a path."""
    return _NAME.fullmatch(value) is not None


def text(description: str = "a string") -> FieldType:
    """A string of at most MAX_TEXT_BYTES bytes."""
    return FieldType(description, read_bounded_text)


def matching(description: str, pattern: str) -> FieldType:
    """A string that ``pattern`` matches completely."""

    def read(value: object) -> str:
        if not re.fullmatch(pattern, read_bounded_text(value), re.ASCII):
            raise ValueError
        return read_text(value)

    return FieldType(description, read)


def boolean() -> FieldType:
    """True or false."""

    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return FieldType("true or false", read)


def integer(description: str = "a whole number", low: int = INT64_MIN, high: int = INT64_MAX) -> FieldType:
    """An integer from ``low`` to ``high``."""

    def read(value: object) -> int:
        number = read_integer(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return FieldType(description, read)


def size(*, unlimited: bool = False) -> FieldType:
    """A number of bytes, as a number or with a unit; ``unlimited``: or -1. Canonical form: the number of bytes."""

    def read(value: object) -> int:
        if isinstance(value, str):
            found = _SIZE.fullmatch(value)
            if found is None:
                raise ValueError
            number, shift = found[1], UNITS[found[2].lower()]
            value = int(float(number) * 2**shift) if "." in number else int(number) << shift
        count = read_integer(value)
        if count < 0 and not (unlimited and count == -1):
            raise ValueError
        return count

    return FieldType('a number of bytes, or a string as in "64m" or "1g"' + (", or -1 for no limit" * unlimited), read)


def text_list(description: str = "a list of strings", max_bytes: int = MAX_TEXT_BYTES) -> FieldType:
    """A list of strings of at most ``max_bytes`` bytes each."""

    def read(value: object) -> list[str]:
        if not isinstance(value, list):
            raise ValueError
        return [read_bounded_text(word, max_bytes) for word in value]

    return FieldType(description, read)


def command() -> FieldType:
    """A list of words, or a line that is split like in a shell."""

    def read(value: object) -> list[str]:
        if not isinstance(value, str):
            return list(text_list(max_bytes=MAX_ARGUMENT_BYTES).read(value))
        if utf8_length(value) > MAX_COMMAND_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_COMMAND_LINE_BYTES} bytes has to be a list")
        return shlex.split(value)

    return FieldType("a string or a list of strings", read)


def user() -> FieldType:
    """The name or number of a user."""

    def read(value: object) -> str:
        return read_bounded_text(value) if isinstance(value, str) else str(read_integer(value))

    return FieldType("a string or a whole number", read)


def text_by_name(description: str, *, absent: str | None = "", split: str = "=", allow_bare: bool = True) -> FieldType:
    """Strings by name: an object, or a list of ``NAME=VALUE`` (``split``) or, where ``allow_bare``, of bare names.

    Numbers become strings; null, and the value of a bare name, become ``absent``.
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
            if not allow_bare and not all(mark for _, mark, _ in pairs):
                raise ValueError
            value = {name: text if mark else None for name, mark, text in pairs}
        if not isinstance(value, dict):
            raise ValueError
        for name in value:
            if not read_text(name) or split in name:
                raise ValueError(f"a name is empty or has {split!r} in it")
        return {name: word(text) for name, text in value.items()}

    return FieldType(description, read)


def object_of(description: str, fields: Mapping[str, FieldType], *, required: tuple[str, ...] = ()) -> FieldType:
    """An object with these fields only; ``StartPeriod`` is the same as ``start_period``. Nulls are left out."""

    def folded(name: str) -> str:
        return name.lower().replace("_", "")

    names_by_folded = {folded(name): name for name in fields}

    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError
        found: dict[str, Any] = {}
        for name, part in value.items():
            field = names_by_folded.get(folded(read_text(name)))
            if field is None or field in found:
                raise ValueError(f"{shown(name)} is unknown or given twice; the fields are {', '.join(fields)}")
            if part is not None:
                try:
                    found[field] = fields[field].read(part)
                except ValueError:
                    raise ValueError(f"its {field} must be {fields[field].description}") from None
        if missing := [name for name in required if name not in found]:
            raise ValueError(f"{missing[0]} is missing")
        return found

    return FieldType(description, read)


def list_of(description: str, item: FieldType) -> FieldType:
    """A list of items of one type."""

    def read(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError
        return [item.read(each) for each in value]

    return FieldType(description, read)


def max_length(count: int, field_type: FieldType) -> FieldType:
    """``field_type``, but no list or object of more than ``count`` entries."""

    def read(value: object) -> Any:
        if isinstance(value, list | dict) and len(value) > count:
            raise ValueError(f"more than {count}")
        return field_type.read(value)

    return FieldType(field_type.description, read)


def one_of(description: str, *types: FieldType) -> FieldType:
    """The first of ``types`` that accepts the value."""

    def read(value: object) -> Any:
        for shape in types:
            try:
                return shape.read(value)
            except ValueError:
                continue
        raise ValueError

    return FieldType(description, read)


def any_object(description: str = "an object") -> FieldType:
    """An object that is passed on as it is."""

    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise ValueError
        return dict(value)

    return FieldType(description, read)
