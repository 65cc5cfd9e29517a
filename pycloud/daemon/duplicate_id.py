"""Detection, before anything is published, of another daemon with this node's id (a copied data directory)."""

from __future__ import annotations

import logging

import gevent

from pycloud.config.identity import Identity
from pycloud.protocol.messages import Heartbeat
from pycloud.store.sessions import SessionStore

log = logging.getLogger(__name__)

#: A running node sends its next heartbeat within this many of its intervals.
HEARTBEATS_TO_WAIT = 1.5
DUPLICATE_ID_MESSAGE = (
    "another daemon uses this node's id %s (a copied data directory?), so this one accepts no requests: "
    "stop one of the two, run `pycloud --new-id` there, and start it again"
)


def wait_for_duplicate_to_stop(session_store: SessionStore, identity: Identity, previous_instance: str) -> None:
    """Return once no other daemon publishes under this node's id.

    Writes nothing meanwhile: it would overwrite the other's data. ``previous_instance``: the instance that ran here
    before; its last heartbeat may outlive it by some intervals.
    """
    ours, logged = (identity.instance, previous_instance), False
    while (
        (heartbeat := session_store.own_heartbeat()) is not None
        and heartbeat.instance not in ours
        and _still_publishing(session_store, heartbeat)
    ):
        if not logged:
            log.error(DUPLICATE_ID_MESSAGE, identity.id)
        logged = True
    if logged:
        log.warning("the other daemon that used this node's id has ended")


def _still_publishing(session_store: SessionStore, heartbeat: Heartbeat) -> bool:
    """Whether another heartbeat is sent: by the same daemon, or by one that was started since."""
    gevent.sleep(HEARTBEATS_TO_WAIT * heartbeat.heartbeat)
    latest = session_store.own_heartbeat()
    return latest is not None and (latest.instance, latest.sent) != (heartbeat.instance, heartbeat.sent)
