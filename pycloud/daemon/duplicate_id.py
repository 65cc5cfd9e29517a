"""Another daemon that uses our id (a copied data directory): before we say anything, whether there is one."""

from __future__ import annotations

import logging

import gevent

from pycloud.config.identity import Identity
from pycloud.protocol.messages import Rank
from pycloud.store.sessions import Registry

log = logging.getLogger(__name__)

#: A cloud that lives says so again within so many of its heartbeats.
HEARTBEATS = 1.5
ADVICE = (
    "another daemon uses this cloud's id %s (a copied data directory?): no requests are taken; "
    "stop one of the two, run `pycloud --new-id` there, and start it again"
)


def wait_until_alone(registry: Registry, identity: Identity, predecessor: str) -> None:
    """Return once nobody else says anything under our id. Meanwhile nothing is written: it would be over the other's.

    ``predecessor``: the instance that ran here before; its last words may outlive it by some heartbeats.
    """
    ours, said = (identity.instance, predecessor), False
    while (rank := registry.own_rank()) is not None and rank.instance not in ours and _repeats_itself(registry, rank):
        if not said:
            log.error(ADVICE, identity.id)
        said = True
    if said:
        log.warning("the other daemon that used this cloud's id is gone")


def _repeats_itself(registry: Registry, rank: Rank) -> bool:
    """Whether whoever said ``rank`` is still there."""
    gevent.sleep(HEARTBEATS * rank.heartbeat)
    again = registry.own_rank()
    return again is not None and again.instance == rank.instance and again.sent != rank.sent
