"""From what people type for a cloud, its id or its host or the beginning of either, to its id."""

from __future__ import annotations

from collections.abc import Sequence

from pycloud.client import Client
from pycloud.client.clouds import KnownNode
from pycloud.client.errors import NotFound
from pycloud.config.loader import suggestion
from pycloud.protocol.keys import NODE_ID_LENGTH, owner_of
from pycloud.shell.terminal.exit_codes import UsageError


def find_nodes(client: Client, words: Sequence[str]) -> list[str]:
    """The ids of the clouds that ``words`` name, each once. Raises NotFound, and UsageProblem where one names several.

    A whole id is taken as it is, so that naming one needs no list.
    """
    whole = [word for word in words if is_node_id(word)]
    known = client.known_nodes() if len(whole) < len(words) else []
    return list(dict.fromkeys(word if word in whole else match_node(word, known) for word in words))


def is_node_id(word: str) -> bool:
    """Whether this is a whole id of a cloud."""
    return owner_of("0" * NODE_ID_LENGTH + word) is not None


def match_node(word: str, known: Sequence[KnownNode]) -> str:
    """The one cloud that ``word`` names: the host of that very name counts more than those that only begin so."""
    exact = [cloud for cloud in known if word and word == cloud.host]
    prefixed = [cloud for cloud in known if word and (cloud.id.startswith(word) or cloud.host.startswith(word))]
    candidates = exact or prefixed
    if len(candidates) > 1:
        lines = [f"{word} may be any of {len(candidates)} clouds, type more, or an id:"]
        raise UsageError("\n  ".join([*lines, *(f"{cloud.id} ({cloud.host or 'away'})" for cloud in candidates)]))
    if not candidates:
        names = [name for cloud in known for name in (cloud.id, cloud.host) if name]
        raise NotFound(f"there is no cloud {word or repr(word)}{suggestion(word, names) or '; `clouds` shows all'}")
    return candidates[0].id
