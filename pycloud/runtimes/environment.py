"""What a script session's environment is made of: an allow-list, the request's own, and who the session is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ALWAYS = ("PATH", "HOME", "LANG", "TZ", "USER")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def session_environment(
    daemon: Mapping[str, str],
    inherited: Iterable[str],
    user: Mapping[str, str],
    request: Mapping[str, str],
    identity: Mapping[str, str],
) -> dict[str, str]:
    """The whole environment of a session but for its port.

    ``daemon`` is the daemon's own environment, of which ALWAYS, ``LC_*`` and the names in ``inherited`` are taken,
    unless their values are not UTF-8;
    later mappings win: ``user`` (HOME and USER of the user it runs as), ``request`` (its ``env``), ``identity``.
    """
    allowed = {*ALWAYS, *inherited}
    wanted = {name: value for name, value in daemon.items() if name in allowed or name.startswith("LC_")}
    taken = {name: value for name, value in wanted.items() if _is_text(value)}
    return {"PATH": DEFAULT_PATH, **taken, **user, **request, **identity}


def _is_text(value: str) -> bool:
    """Python keeps bytes that are not UTF-8 as lone surrogates; they are no text that could be handed on."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
