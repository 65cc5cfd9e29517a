"""Resolves user input (the beginning of an id, a name, a host) to the id of a session or node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pycloud.client import Client
from pycloud.client.errors import NotFound
from pycloud.client.records import KnownNode
from pycloud.config.loader import suggestion
from pycloud.protocol.keys import NODE_ID_LENGTH, owner_of
from pycloud.protocol.validation import is_name
from pycloud.shell.terminal.exit_codes import UsageError

#: Candidates listed in the error for an ambiguous word.
MAX_CANDIDATES = 10
_HEX = frozenset("0123456789abcdef")


@dataclass
class FoundSessions:
    """Full ids in the order typed; words that match no session (``missing``), and the error for each of them."""

    ids: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    errors: dict[str, NotFound] = field(default_factory=dict)


def find_sessions(client: Client, words: Sequence[str]) -> FoundSessions:
    """Resolve ``words``, each a full id, the beginning of an id, or a name. Raises UsageError where one is ambiguous.

    A full id is returned unchecked; neither it nor a name requires reading the list of all ids. Duplicates are removed.
    """
    prefixes = {word for word in words if owner_of(word) is None and is_id_prefix(word)}
    names = [word for word in dict.fromkeys(words) if not is_id_prefix(word)]
    candidates = match_prefixes(prefixes, client.session_ids()) if prefixes else {}
    if names:
        known = client.sessions_named([name for name in names if is_name(name)])
        candidates |= {name: [known[name]] if name in known else [] for name in names}
    found = FoundSessions()
    for word in dict.fromkeys(words):
        ids = candidates.get(word, [word])
        if len(ids) > 1:
            raise UsageError(_ambiguous(word, ids))
        if not ids:
            found.missing.append(word)
        elif ids[0] not in found.ids:
            found.ids.append(ids[0])
    found.errors = _missing_errors(client, found.missing)
    return found


def _missing_errors(client: Client, missing: Sequence[str]) -> dict[str, NotFound]:
    """The error for each word. A name may be misspelled or belong to an ended session, so all names are read for it."""
    errors = {word: not_found(word) for word in missing}
    names = [word for word in missing if is_name(word)]
    known = {name: session for session, name in client.session_names() if name} if names else {}
    for word in names:
        if word in known:
            errors[word] = NotFound(f"no live session has the name {word}; the ended session {known[word]} had it")
        elif close := suggestion(word, list(known)):
            errors[word] = NotFound(f"there is no session {word}{close}")
    return errors


def find_session(client: Client, word: str) -> str:
    """The id of the session that ``word`` matches. Raises NotFound, or UsageError where it is ambiguous."""
    found = find_sessions(client, [word])
    if not found.ids:
        raise found.errors[word]
    return found.ids[0]


def is_id_prefix(word: str) -> bool:
    """Whether ``word`` can be the beginning of an id. No name can (``is_name`` in ``validation.py``)."""
    return _HEX.issuperset(word)


def not_found(word: str) -> NotFound:
    """The error for a ``word`` that matches no session."""
    return NotFound(f"there is no session {word or repr(word)}; `list` shows all")


def match_prefixes(prefixes: Iterable[str], sessions: Iterable[str]) -> dict[str, list[str]]:
    """For each prefix the ids that begin with it. An empty prefix matches none."""
    candidates: dict[str, list[str]] = {prefix: [] for prefix in prefixes}
    for session in sessions:
        for prefix, ids in candidates.items():
            if prefix and session.startswith(prefix):
                ids.append(session)
    return candidates


def _ambiguous(word: str, ids: Sequence[str]) -> str:
    more = [f"... and {len(ids) - MAX_CANDIDATES} more"] if len(ids) > MAX_CANDIDATES else []
    return "\n  ".join(
        [f"{word} is the beginning of {len(ids)} sessions; type more of one id:", *ids[:MAX_CANDIDATES], *more]
    )


def find_nodes(client: Client, words: Sequence[str]) -> list[str]:
    """The ids of the nodes that ``words`` match, without duplicates. Raises NotFound, and UsageError where one is
    ambiguous.

    A full id is returned unchecked, without reading the list of nodes.
    """
    whole = [word for word in words if is_node_id(word)]
    known = client.known_nodes() if len(whole) < len(words) else []
    return list(dict.fromkeys(word if word in whole else match_node(word, known) for word in words))


def is_node_id(word: str) -> bool:
    """Whether ``word`` is a full node id."""
    return owner_of("0" * NODE_ID_LENGTH + word) is not None


def match_node(word: str, known: Sequence[KnownNode]) -> str:
    """The id of the node in ``known`` that ``word`` matches: a host name, or the beginning of an id or host name.

    An exact host name takes precedence. Raises NotFound, and UsageError where ``word`` is ambiguous.
    """
    exact = [node for node in known if word and word == node.host]
    prefixed = [node for node in known if word and (node.id.startswith(word) or node.host.startswith(word))]
    candidates = exact or prefixed
    if len(candidates) > 1:
        lines = [f"{word} matches {len(candidates)} nodes; type more, or an id:"]
        raise UsageError("\n  ".join([*lines, *(f"{node.id} ({node.host or 'offline'})" for node in candidates)]))
    if not candidates:
        names = [name for node in known for name in (node.id, node.host) if name]
        raise NotFound(f"there is no node {word or repr(word)}{suggestion(word, names) or '; `nodes` shows all'}")
    return candidates[0].id
