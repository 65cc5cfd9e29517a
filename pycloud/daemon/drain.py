"""Whether this cloud takes anything new: as it was last told, over restarts, or else as its settings say.

May touch: one small file in the data directory.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from pycloud.daemon.heartbeat import Heartbeat
from pycloud.errors import NoMatch
from pycloud.protocol.messages import DrainRequest, DrainResponse, ErrorBody, Event
from pycloud.sessions.manager import Cloud

log = logging.getLogger(__name__)

FILE = "draining"


def kept(data_dir: Path) -> bool | None:
    """What the cloud of this data directory was last told; None: nothing, or nothing that makes sense."""
    try:
        told = json.loads((data_dir / FILE).read_text(encoding="utf-8"))["draining"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read, so the settings count: %r", data_dir / FILE, error)
        return None
    return bool(told)


def keep(data_dir: Path, draining: bool, now: float) -> None:
    """Write down what it was told at ``now`` (Unix seconds). Raises OSError."""
    beside = data_dir / f"{FILE}.new"
    beside.write_text(json.dumps({"draining": draining, "time": now}), encoding="utf-8")
    beside.rename(data_dir / FILE)


def begin(cloud: Cloud, data_dir: Path, setting: bool) -> None:
    """At the start: what was told counts more than ``setting``, which cannot have been meant against it."""
    told = kept(data_dir)
    cloud.draining = setting if told is None else told
    if told is not None and told != setting:
        word, command = ("draining", "undrain") if told else ("taking new sessions", "drain")
        log.warning(
            "this cloud is %s, as it was told, though its settings say otherwise: `pycloudctl %s` changes that",
            word,
            command,
        )


def event_name(draining: bool) -> str:
    """What a cloud says of itself that takes requests, or nothing new."""
    return "cloud.draining" if draining else "cloud.up"


class Draining:
    """Answers ``drain``, once it is done."""

    def __init__(self, cloud: Cloud, heartbeat: Heartbeat, data_dir: Path) -> None:
        self._cloud, self._heartbeat, self._data_dir = cloud, heartbeat, data_dir

    def drain(self, request: DrainRequest) -> None:
        """Do as told, say so to the other clouds, and only then to whoever asked."""
        own = self._cloud.identity.id
        if request.cloud not in (None, own):
            error = ErrorBody(NoMatch.code, f"this is cloud {own}, and not {str(request.cloud)[:64]!r}")
            response = DrainResponse(own, own, status=False, error=error)
        else:
            written = self._write(request.draining)
            self._change(request.draining)
            load = self._cloud.load
            response = DrainResponse(own, own, status=True, draining=request.draining, sessions=load, kept=written)
        self._cloud.ledger.answer(request.op, request.id, response)

    def _write(self, draining: bool) -> bool:
        """Whether the next daemon will know."""
        try:
            keep(self._data_dir, draining, self._cloud.now())
        except OSError as error:
            log.error("%s cannot be written, so that a restart forgets it: %s", self._data_dir / FILE, error.strerror)
            return False
        return True

    def _change(self, draining: bool) -> None:
        if draining == self._cloud.draining:
            return
        self._cloud.draining = draining
        log.info("told to %s", "take nothing new (draining)" if draining else "take new sessions again")
        self._heartbeat.beat()
        self._cloud.registry.tell(Event(event_name(draining), self._cloud.identity.id, self._cloud.now()))
