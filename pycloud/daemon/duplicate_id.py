"""Another daemon that uses our id (a copied data directory): before we say anything, whether there is one."""

from __future__ import annotations

import logging

import gevent

from pycloud.config.identity import Identity
from pycloud.protocol.messages import Heartbeat
from pycloud.store.sessions import SessionStore

log = logging.getLogger(__name__)

#: A cloud that lives says so again within so many of its heartbeats.
HEARTBEATS_TO_WAIT = 1.5
DUPLICATE_ID_MESSAGE = (
    "another daemon uses this cloud's id %s (a copied data directory?): no requests are taken; "
    "stop one of the two, run `pycloud --new-id` there, and start it again"
)


def wait_for_duplicate_to_stop(session_store: SessionStore, identity: Identity, previous_instance: str) -> None:
    """Return once nobody else says anything under our id. Meanwhile nothing is written: it would be over the other's.

    ``predecessor``: the instance that ran here before; its last words may outlive it by some heartbeats.
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
        log.warning("the other daemon that used this cloud's id is gone")


def _still_publishing(session_store: SessionStore, heartbeat: Heartbeat) -> bool:
    """Whether whoever said ``rank`` is still there."""
    gevent.sleep(HEARTBEATS_TO_WAIT * heartbeat.heartbeat)
    latest = session_store.own_heartbeat()
    return latest is not None and latest.instance == heartbeat.instance and latest.sent != heartbeat.sent
