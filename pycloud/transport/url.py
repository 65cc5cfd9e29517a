"""Redis URLs: which of them PyCloud accepts, and how to display one without its password.

Pure: connects to nothing. The daemon and the requester's side both use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from pycloud.protocol.keys import DEFAULT_NAMESPACE

SCHEMES = ("redis", "rediss", "unix")
#: Options allowed after the ?: user, password and database, with TLS also the verification of the server. Redis-py's
#: other options would change PyCloud's communication with Redis unnoticed (timeouts, retries, replies).
OPTIONS = ("db", "username", "password")
TLS_OPTIONS = (
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_cert_reqs", "ssl_check_hostname"),
)
_TLS_VALUES = {"ssl_cert_reqs": ("none", "optional", "required"), "ssl_check_hostname": ("true", "false")}


@dataclass(frozen=True)
class RedisUrl:
    """The parts of a Redis URL. ``host`` and ``port`` apply to redis and rediss, ``path`` to unix only."""

    scheme: str
    host: str
    port: int
    path: str
    database: int
    username: str | None
    password: str | None = field(repr=False)


def parse_redis_url(url: str) -> RedisUrl:
    """Split a Redis URL into its parts.

    Raises ValueError with a reason that may be displayed: it never contains any part that may be a password.
    """
    scheme = url.partition("://")[0]
    if "://" not in url or scheme not in SCHEMES:
        raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
    unescaped = ValueError("cannot be read (write / : @ # ? in a password as %2F %3A %40 %23 %3F)")
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        raise unescaped from None
    if "@" in parts.path + parts.query or parts.fragment:
        raise unescaped
    if scheme == "unix" and not parts.path.strip("/"):
        raise ValueError("the path of the socket is missing (unix:///run/redis/redis.sock)")
    query = _options(scheme, parts.query)
    return RedisUrl(
        scheme=scheme,
        host=parts.hostname or "localhost",
        port=port,
        path=unquote(parts.path) if scheme == "unix" else "",
        database=_database("" if scheme == "unix" else parts.path, query.get("db")),
        username=unquote(parts.username) if parts.username else query.get("username"),
        password=unquote(parts.password) if parts.password else query.get("password"),
    )


def _options(scheme: str, query: str) -> dict[str, str]:
    """The options after the ?, each given once. Raises ValueError without the value: it may be a password."""
    allowed = (*OPTIONS, *TLS_OPTIONS) if scheme == "rediss" else OPTIONS
    found = {}
    for name, values in parse_qs(query, keep_blank_values=True).items():
        if name not in allowed:
            reason = "needs rediss://" if name in TLS_OPTIONS else f"is not supported; these are: {', '.join(allowed)}"
            raise ValueError(f"the option {name!r} of the Redis URL {reason}")
        if len(values) > 1 or not values[0]:
            raise ValueError(f"the option {name!r} of the Redis URL must have one value")
        if name in _TLS_VALUES and values[0] not in _TLS_VALUES[name]:
            raise ValueError(f"the option {name!r} of the Redis URL must be one of {', '.join(_TLS_VALUES[name])}")
        found[name] = values[0]
    return found


def _database(path: str, query: str | None) -> int:
    text = query if query is not None else path.strip("/")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError("the part after the host must be a database number, as in redis://localhost:6379/0")
    return int(text)


def check_database(url: str, namespace: str) -> None:
    """Raises ValueError where the URL names a database while the namespace is the default.

    Redis pub/sub ignores database numbers, so only the namespace separates nodes on different databases.
    """
    database = parse_redis_url(url).database
    if database and namespace == DEFAULT_NAMESPACE:
        raise ValueError(
            f"Redis pub/sub ignores database numbers, so a node on database {database} would also receive the requests "
            "for nodes on other databases: use database 0, or a separate namespace (--namespace)"
        )


def hide_password(url: str) -> str:
    """The URL with ``***`` for its password; works for malformed URLs too, where it may hide more than the password."""
    # Up to the last @, because a password that was not percent-encoded may contain @, / and # itself.
    hidden = re.sub(r"^([^:/@]+://[^:@/]*:).*@", r"\1***@", url, flags=re.DOTALL)
    return re.sub(r"([?&;]password=)[^&;]*", r"\1***", hidden)
