"""Whether the cloud in this container takes requests: the health check of its image, ``python3 -m pycloud.health``.

Not what its own process says, but what the others see of it: the rank that it puts into Redis each heartbeat, and that
goes from there when it stops doing so. Loads neither gevent nor docker.
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

#: The daemon, or an init with the daemon's command line behind its own.
FIRST_PROCESS = Path("/proc/1/cmdline")
#: How long Redis may take to answer, in seconds.
_TIMEOUT = 3.0


def main() -> int:
    """Print one line; the exit code is 0 where requests are taken, 1 where not."""
    try:
        config = _config(flags_in(FIRST_PROCESS.read_bytes()))
        problem = unhealthy_reason(_read_heartbeat(config))
    except (ConfigError, DecodeError, redis.RedisError, OSError) as error:
        problem = " ".join(str(error).split())
    print(problem or "takes requests")
    return 1 if problem else 0


def flags_in(cmdline: bytes) -> list[str]:
    """What stands behind the daemon's name in a command line as /proc shows it; nothing where it is not in there."""
    words = [word.decode(errors="replace") for word in cmdline.split(b"\0")[:-1]]
    names = [PurePath(word).name for word in words]
    return words[names.index("pycloud") + 1 :] if "pycloud" in names else []


def unhealthy_reason(heartbeat: Heartbeat | None) -> str | None:
    """Why a cloud with this rank (None: it sends none) cannot serve requests; None: it can. One that drains is well."""
    if heartbeat is None:
        return "sends no heartbeats to Redis"
    if heartbeat.deaf:
        return "does not hear what is published"
    runtimes = heartbeat.runtimes or (heartbeat.runtime,)
    if set(runtimes) <= set(heartbeat.unavailable):
        return f"can start no sessions at present ({', '.join(runtimes)})"
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
