"""Whether this daemon starts a private Redis, and the block for whose time it does. Imported after patching only."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from pycloud.cli.embedded_guard import RedisSupervisor
from pycloud.cli.embedded_server import EmbeddedRedis, is_listening, wait_for_previous
from pycloud.config import Config
from pycloud.transport.url import parse_redis_url

#: How long the private Redis of a daemon that was killed may take to end, in seconds.
_PREVIOUS_TIMEOUT = 10.0

log = logging.getLogger(__name__)


def wants_embedded(config: Config, *, foreground: bool, listening: bool, in_container: bool) -> bool:
    """Whether the daemon shall start a private Redis: when told to, or when nobody said anything and there is none.

    ``listening``: somebody listens at the default address. ``in_container``: this cloud was put into a container to
    drive the host's engine; nobody outside would ever reach a Redis on its loopback.
    """
    if config.was_set("embedded_redis"):
        return config.embedded_redis
    return foreground and not config.was_set("redis") and not listening and not in_container


@contextlib.contextmanager
def private_redis(config: Config, *, foreground: bool, in_container: bool) -> Iterator[EmbeddedRedis | None]:
    """Run a private Redis for the time of a ``with`` block, if this configuration asks for one.

    To be entered with the data directory's lock held. Raises EmbeddedRedisError.
    """
    listening = not config.was_set("redis") and _is_listening(config)
    if not wants_embedded(config, foreground=foreground, listening=listening, in_container=in_container):
        yield None
        return
    with EmbeddedRedis(config.redis, config.data_dir) as server:
        why = "" if config.embedded_redis else f"no Redis was configured and none listens on port {server.port}: "
        log.info("%sstarted a private Redis (%s), data in %s", why, server.program, server.directory)
        with RedisSupervisor(server):
            yield server


def _is_listening(config: Config) -> bool:
    # A private Redis that is about to end with its killed daemon must not be taken for one to rely on.
    wait_for_previous(config.data_dir, _PREVIOUS_TIMEOUT)
    parts = parse_redis_url(config.redis)
    return is_listening(parts.host, parts.port)
