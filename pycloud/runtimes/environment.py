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

    ``daemon`` is the daemon's own environment, of which ALWAYS, ``LC_*`` and the names in ``inherited`` are taken;
    later mappings win: ``user`` (HOME and USER of the user it runs as), ``request`` (its ``env``), ``identity``.
    """
    allowed = {*ALWAYS, *inherited}
    taken = {name: value for name, value in daemon.items() if name in allowed or name.startswith("LC_")}
    return {"PATH": DEFAULT_PATH, **taken, **user, **request, **identity}
