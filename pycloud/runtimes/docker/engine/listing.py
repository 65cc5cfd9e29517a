"""Containers as the engine lists them, and which of them belong to this node. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.protocol.keys import owner_of
from pycloud.runtimes.docker.spec.container import CONTAINER_NAME_PREFIX, NODE_LABEL, SESSION_ID_LABEL


@dataclass(frozen=True)
class ListedContainer:
    """A container as the engine lists it; ``state`` as the engine names it.

    ``named``: its name is the one that PyCloud gives to its session's container. Labels alone are no proof, because
    they are inherited: by an image made of a session's container (``docker commit``), and by all containers of that
    image.
    """

    id: str
    session: str
    state: str
    labels: Mapping[str, str]
    named: bool


def containers_by_session(containers: Iterable[Mapping[str, Any]], node: str) -> dict[str, ListedContainer]:
    """Return the containers of ``node`` in the engine's list, by session."""
    found: dict[str, ListedContainer] = {}
    for each in containers:
        labels = each.get("Labels") or {}
        session = labels.get(SESSION_ID_LABEL, "")
        if labels.get(NODE_LABEL) == node and owner_of(session) == node:
            named = f"/{CONTAINER_NAME_PREFIX}{session}" in (each.get("Names") or ())
            if named or session not in found:
                found[session] = ListedContainer(each["Id"], session, each.get("State", ""), labels, named)
    return found


def owned_containers(containers: Iterable[ListedContainer], recorded: Collection[str | None]) -> list[ListedContainer]:
    """Return those that certainly belong to this node. ``recorded``: ids of containers that have a record."""
    return [each for each in containers if each.named or each.id in recorded]
