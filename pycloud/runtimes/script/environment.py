"""What script sessions get of the daemon's environment: an allow-list. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ALWAYS_INHERITED = ("PATH", "HOME", "LANG", "TZ", "USER")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def inherited_environment(daemon_env: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """What all sessions get of the daemon's own environment: ALWAYS, ``LC_*`` and ``names``, and a PATH in any case.

    What is not UTF-8 is left out.
    """
    allowed = {*ALWAYS_INHERITED, *names}
    wanted = {name: value for name, value in daemon_env.items() if name in allowed or name.startswith("LC_")}
    return {"PATH": DEFAULT_PATH, **{name: value for name, value in wanted.items() if _is_text(value)}}


def _is_text(value: str) -> bool:
    """Python keeps bytes that are not UTF-8 as lone surrogates; they are no text that could be handed on."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
