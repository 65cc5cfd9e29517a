"""Containers as the engine lists them, and which of them are this node's. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.protocol.keys import owner_of
from pycloud.runtimes.docker.spec.container import CLOUD, NAME, SESSION


@dataclass(frozen=True)
class Listed:
    """A container as the engine lists it; ``state`` in the engine's words.

    ``named``: after its session, as we name them. Labels alone may be inherited: they stand on an image that somebody
    made of a session's container (``docker commit``), too, and so on whatever runs of that.
    """

    id: str
    session: str
    state: str
    labels: Mapping[str, str]
    named: bool


def listed(containers: Iterable[Mapping[str, Any]], cloud: str) -> dict[str, Listed]:
    """From the engine's list to containers by session; what is not this cloud's is left out."""
    found: dict[str, Listed] = {}
    for each in containers:
        labels = each.get("Labels") or {}
        session = labels.get(SESSION, "")
        if labels.get(CLOUD) == cloud and owner_of(session) == cloud:
            named = f"/{NAME}{session}" in (each.get("Names") or ())
            if named or session not in found:
                found[session] = Listed(each["Id"], session, each.get("State", ""), labels, named)
    return found


def own(containers: Iterable[Listed], recorded: Collection[str | None]) -> list[Listed]:
    """Those that are surely this cloud's. ``recorded``: ids of containers that are on record."""
    return [each for each in containers if each.named or each.id in recorded]
