"""Whether the node in this container takes requests: the image's health check, ``python3 -m pycloud.health``.

It reads the heartbeat that the node writes to Redis, and that expires there without renewal: the state that other nodes
see, not the node's own view of itself. Loads neither gevent nor docker.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path, PurePath

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pycloud.config import Config
from pycloud.config.identity import ID_FILE
from pycloud.config.loader import Host, add_flags, load
from pycloud.errors import ConfigError
from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Heartbeat

#: Command line of the container's first process: the daemon, or an init process with the daemon's command line
#: appended.
FIRST_PROCESS = Path("/proc/1/cmdline")
#: Seconds that Redis may take to answer.
_TIMEOUT = 3.0


def main() -> int:
    """Print one line; returns exit code 0 where the node takes requests, otherwise 1."""
    try:
        config = _config(flags_in(FIRST_PROCESS.read_bytes()))
        problem = unhealthy_reason(_read_heartbeat(config))
    except (ConfigError, DecodeError, redis.RedisError, OSError) as error:
        problem = " ".join(str(error).split())
    print(problem or "accepts requests")
    return 1 if problem else 0


def flags_in(cmdline: bytes) -> list[str]:
    """The arguments after ``pycloud`` in a command line as /proc shows it; empty where that name is missing."""
    words = [word.decode(errors="replace") for word in cmdline.split(b"\0")[:-1]]
    names = [PurePath(word).name for word in words]
    return words[names.index("pycloud") + 1 :] if "pycloud" in names else []


def unhealthy_reason(heartbeat: Heartbeat | None) -> str | None:
    """Why a node with this heartbeat (None: it sends none) cannot serve requests; None where it can.

    A node that drains counts as healthy.
    """
    if heartbeat is None:
        return "sends no heartbeats to Redis"
    if heartbeat.deaf:
        return "does not receive published messages"
    runtimes = heartbeat.runtimes or (heartbeat.runtime,)
    if set(runtimes) <= set(heartbeat.unavailable):
        return f"cannot start sessions: no runtime is available ({', '.join(runtimes)})"
    return None


def _config(flags: Sequence[str]) -> Config:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    add_flags(parser)
    given = parser.parse_known_args(flags)[0]
    return load(vars(given), Host.current(), config_file=given.config)


def _read_heartbeat(config: Config) -> Heartbeat | None:
    node = (config.data_dir / ID_FILE).read_text(encoding="ascii", errors="replace").strip()
    timeouts = {"socket_connect_timeout": _TIMEOUT, "socket_timeout": _TIMEOUT}
    with redis.Redis.from_url(config.redis, retry=Retry(NoBackoff(), 0), **timeouts) as client:
        found = client.get(Keys(config.namespace).node_key(node))
    return decode_heartbeat(found) if isinstance(found, bytes) else None
