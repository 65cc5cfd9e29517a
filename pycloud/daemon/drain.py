"""Whether this node accepts new sessions: as last requested, across restarts, or else as configured.

May touch: one small file in the data directory.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from pycloud.daemon.heartbeat import HeartbeatService
from pycloud.errors import NoMatch
from pycloud.protocol.messages import DrainResponse, ErrorBody, Event
from pycloud.protocol.requests import DrainRequest
from pycloud.sessions.manager import SessionManager

log = logging.getLogger(__name__)

DRAIN_FILE = "draining"


def load_drain_flag(data_dir: Path) -> bool | None:
    """The drain flag saved in this data directory; None: none was saved, or it cannot be read."""
    try:
        saved = json.loads((data_dir / DRAIN_FILE).read_text(encoding="utf-8"))["draining"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("cannot read %s, so the setting `draining` applies: %r", data_dir / DRAIN_FILE, error)
        return None
    return bool(saved)


def save_drain_flag(data_dir: Path, draining: bool, now: float) -> None:
    """Save the drain flag as requested at ``now`` (Unix seconds). Raises OSError."""
    temporary = data_dir / f"{DRAIN_FILE}.new"
    temporary.write_text(json.dumps({"draining": draining, "time": now}), encoding="utf-8")
    temporary.rename(data_dir / DRAIN_FILE)


def restore_drain_flag(manager: SessionManager, data_dir: Path, setting: bool) -> None:
    """At the start: the saved flag takes precedence over ``setting``, which was not meant to override it."""
    saved = load_drain_flag(data_dir)
    manager.draining = setting if saved is None else saved
    if saved is not None and saved != setting:
        word, command = ("draining", "undrain") if saved else ("accepting new sessions", "drain")
        log.warning(
            "this node is %s, as last requested, although its settings say otherwise: `pycloudctl %s` changes that",
            word,
            command,
        )


def event_name(draining: bool) -> str:
    """The name of the event that a node publishes when it drains, or accepts sessions."""
    return "cloud.draining" if draining else "cloud.up"


class DrainHandler:
    """Handles ``drain`` requests."""

    def __init__(self, manager: SessionManager, heartbeat: HeartbeatService, data_dir: Path) -> None:
        self._manager, self._heartbeat, self._data_dir = manager, heartbeat, data_dir

    def drain(self, request: DrainRequest) -> None:
        """Carry out the request, send a heartbeat to the other nodes where it changes anything, and then answer."""
        own = self._manager.identity.id
        if request.cloud not in (None, own):
            error = ErrorBody(NoMatch.code, f"this is node {own}, and not {str(request.cloud)[:64]!r}")
            response = DrainResponse(own, own, status=False, error=error)
        else:
            saved = self._save(request.draining)
            self._apply(request.draining)
            load = self._manager.load
            response = DrainResponse(own, own, status=True, draining=request.draining, sessions=load, kept=saved)
        self._manager.request_store.publish_response(request.op, request.id, response)

    def _save(self, draining: bool) -> bool:
        """Save the flag; False where that fails, and the next daemon will not know it."""
        try:
            save_drain_flag(self._data_dir, draining, self._manager.now())
        except OSError as error:
            log.error(
                "cannot write %s, so the next daemon will not know of this request: %s",
                self._data_dir / DRAIN_FILE,
                error.strerror,
            )
            return False
        return True

    def _apply(self, draining: bool) -> None:
        if draining == self._manager.draining:
            return
        self._manager.draining = draining
        log.info("%s, as requested", "draining" if draining else "accepting new sessions again")
        self._heartbeat.publish()
        self._manager.session_store.publish_event(
            Event(event_name(draining), self._manager.identity.id, self._manager.now())
        )
