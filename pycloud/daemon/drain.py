"""Whether this cloud takes anything new: as it was last told, over restarts, or else as its settings say.

May touch: one small file in the data directory.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from pycloud.daemon.heartbeat import HeartbeatService
from pycloud.errors import NoMatch
from pycloud.protocol.messages import DrainRequest, DrainResponse, ErrorBody, Event
from pycloud.sessions.manager import SessionManager

log = logging.getLogger(__name__)

DRAIN_FILE = "draining"


def load_drain_flag(data_dir: Path) -> bool | None:
    """What the cloud of this data directory was last told; None: nothing, or nothing that makes sense."""
    try:
        saved = json.loads((data_dir / DRAIN_FILE).read_text(encoding="utf-8"))["draining"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read, so the settings count: %r", data_dir / DRAIN_FILE, error)
        return None
    return bool(saved)


def save_drain_flag(data_dir: Path, draining: bool, now: float) -> None:
    """Write down what it was told at ``now`` (Unix seconds). Raises OSError."""
    temporary = data_dir / f"{DRAIN_FILE}.new"
    temporary.write_text(json.dumps({"draining": draining, "time": now}), encoding="utf-8")
    temporary.rename(data_dir / DRAIN_FILE)


def restore_drain_flag(manager: SessionManager, data_dir: Path, setting: bool) -> None:
    """At the start: what was told counts more than ``setting``, which cannot have been meant against it."""
    saved = load_drain_flag(data_dir)
    manager.draining = setting if saved is None else saved
    if saved is not None and saved != setting:
        word, command = ("draining", "undrain") if saved else ("taking new sessions", "drain")
        log.warning(
            "this cloud is %s, as it was told, though its settings say otherwise: `pycloudctl %s` changes that",
            word,
            command,
        )


def event_name(draining: bool) -> str:
    """What a cloud says of itself that takes requests, or nothing new."""
    return "cloud.draining" if draining else "cloud.up"


class DrainHandler:
    """Answers ``drain``, once it is done."""

    def __init__(self, manager: SessionManager, heartbeat: HeartbeatService, data_dir: Path) -> None:
        self._manager, self._heartbeat, self._data_dir = manager, heartbeat, data_dir

    def drain(self, request: DrainRequest) -> None:
        """Do as told, say so to the other clouds, and only then to whoever asked."""
        own = self._manager.identity.id
        if request.cloud not in (None, own):
            error = ErrorBody(NoMatch.code, f"this is cloud {own}, and not {str(request.cloud)[:64]!r}")
            response = DrainResponse(own, own, status=False, error=error)
        else:
            saved = self._save(request.draining)
            self._apply(request.draining)
            load = self._manager.load
            response = DrainResponse(own, own, status=True, draining=request.draining, sessions=load, kept=saved)
        self._manager.request_store.publish_response(request.op, request.id, response)

    def _save(self, draining: bool) -> bool:
        """Whether the next daemon will know."""
        try:
            save_drain_flag(self._data_dir, draining, self._manager.now())
        except OSError as error:
            log.error(
                "%s cannot be written, so that a restart forgets it: %s", self._data_dir / DRAIN_FILE, error.strerror
            )
            return False
        return True

    def _apply(self, draining: bool) -> None:
        if draining == self._manager.draining:
            return
        self._manager.draining = draining
        log.info("told to %s", "take nothing new (draining)" if draining else "take new sessions again")
        self._heartbeat.publish()
        self._manager.session_store.publish_event(
            Event(event_name(draining), self._manager.identity.id, self._manager.now())
        )
