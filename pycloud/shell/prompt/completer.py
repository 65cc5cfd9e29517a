"""Completion at the prompt: commands, flags, choices, files, nodes and sessions.

Uses the table of commands and the latest snapshots of ``LiveState``, so that no key stroke waits for Redis.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import to_formatted_text
from prompt_toolkit.key_binding import KeyPressEvent
from prompt_toolkit.layout.utils import explode_text_fragments

from pycloud.client import SessionRecord
from pycloud.shell.base.command import Argument, Command
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionsSnapshot
from pycloud.shell.prompt.completion_context import (
    CompletionTarget,
    InputTokens,
    completion_target,
    file_names,
    tokenize,
)
from pycloud.shell.prompt.fuzzy import best_matches, first_matches
from pycloud.shell.terminal.output import NODE_OFFLINE, address, age, printable

#: Maximum number of files, and of sessions, that are offered: each costs time at every key stroke.
MAX_OFFERS = 50


class LineCompleter(Completer):
    """Completes the word at the cursor. ``health`` and ``sessions`` return the latest snapshots."""

    def __init__(
        self, commands: Iterable[Command], health: Callable[[], Health], sessions: Callable[[], SessionsSnapshot]
    ) -> None:
        self._rows = tuple(commands)
        self._by_name = {name: row for row in self._rows for name in (row.name, *row.aliases)}
        self._health, self._sessions = health, sessions

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """The completions of the word before the cursor, the best first."""
        line = tokenize(document.text_before_cursor)
        target = completion_target(self._by_name, line.before, line.word)
        word = line.word.removeprefix(target.prefix)
        for found in self._matches(target, word, line):
            yield Completion(
                target.prefix + quoted(found.text),
                start_position=line.start - len(document.text_before_cursor),
                display=found.display,
                display_meta=found.display_meta,
            )

    def _matches(self, target: CompletionTarget, word: str, line: InputTokens) -> Iterable[Completion]:
        """What may stand at the cursor and matches ``word``, the best first; the texts are not quoted yet."""
        if target.commands:
            return best_matches(word, {row.name: row.summary for row in self._rows})
        if target.flags:
            names = {_longest_name(item): str(item.options.get("help", "")) for item in target.flags}
            return best_matches(word, {**names, **_short_flags(word, target.flags)})
        item = target.value
        if item is None:
            return ()
        if item.choices:
            return best_matches(word, dict.fromkeys(item.choices, ""))
        return self._value_matches(item, word, line)

    def _value_matches(self, item: Argument, word: str, line: InputTokens) -> Iterable[Completion]:
        if item.kind == "file":
            return islice(_file_matches(word), MAX_OFFERS)
        if item.kind == "node":
            return self._node_matches(word)
        if item.kind == "session":
            return self._session_matches(word, set(line.before))
        return ()

    def _node_matches(self, word: str) -> Iterator[Completion]:
        """Online nodes whose id or host matches; only the id is displayed and inserted."""
        health = self._health()
        nodes = {f"{node} {heartbeat.host}": node for node, heartbeat in health.nodes.items()}
        for found in best_matches(word, {text: describe_node(health, node) for text, node in nodes.items()}):
            node = nodes[found.text]
            display = explode_text_fragments(to_formatted_text(found.display))[: len(node)]
            yield Completion(node, display=display, display_meta=found.display_meta)

    def _session_matches(self, word: str, already_named: set[str]) -> Iterator[Completion]:
        """Sessions that match, live ones first; without those that are already on the line."""
        sessions, now = self._sessions(), time.time()
        live = first_matches(word, sessions.live_words, MAX_OFFERS)
        for texts in (live, first_matches(word, sessions.ended_words, MAX_OFFERS - len(live))):
            named = (text for text in texts if text not in already_named)
            yield from best_matches(word, {text: describe_session(sessions.by_word[text], text, now) for text in named})


def complete(event: KeyPressEvent) -> None:
    """Handler of TAB. Selects the next completion in the menu; without a menu, inserts the only completion, or the
    common beginning of all. Completions that begin with the typed text take precedence.

    The completions are computed here, synchronously: fast typing, or a slow connection, delivers several keys at once,
    and prompt_toolkit drops a TAB that arrives while it computes completions.
    """
    buffer = event.current_buffer
    if buffer.complete_state:
        buffer.complete_next()
        return
    found = list(buffer.completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
    before = buffer.document.text_before_cursor
    prefixed = [each for each in found if before.endswith(each.text[: -each.start_position])] or found
    if len(prefixed) == 1:
        buffer.apply_completion(prefixed[0])
    elif common := get_common_complete_suffix(buffer.document, prefixed):
        buffer.insert_text(common)
    else:
        buffer.start_completion()


def describe_node(health: Health, node: str) -> str:
    """The description of an online node: host, number of sessions, and whether it is draining or silent."""
    heartbeat = health.nodes[node]
    draining = "draining" if heartbeat.draining else ""
    silent = "silent" if node in health.snapshot.overdue else ""
    words = (printable(heartbeat.host), f"sessions: {heartbeat.sessions}", draining, silent)
    return ", ".join(word for word in words if word)


def describe_session(record: SessionRecord, word: str, now: float) -> str:
    """The description of a session for the completion ``word`` (its id or name): the other of the two, state, address
    and age. ``now``: Unix seconds.
    """
    other_word = record.id[:8] if word != record.id else record.name or ""
    created = record.created
    words = [
        other_word,
        record.state,
        address(record.host or "", record.port or None),
        age(now - created) if isinstance(created, float) else "",
        NODE_OFFLINE if record.stale is True else "",
    ]
    return printable(" ".join(part for part in words if part))


def quoted(text: str) -> str:
    """The text quoted for the command line. A leading ``~/`` is not quoted, because it would not be expanded then."""
    home = "~/" if text.startswith("~/") else ""
    rest = text.removeprefix(home)
    return home + (shlex.quote(rest) if rest else "")


def _file_matches(word: str) -> Iterator[Completion]:
    """Files that match; the directory is not displayed, because it is on the line already."""
    folder = word[: word.rfind("/") + 1]
    for found in best_matches(word.removeprefix(folder), dict.fromkeys(file_names(word), "")):
        yield Completion(folder + found.text, display=found.display)


def _longest_name(item: Argument) -> str:
    return max(item.names, key=len)


def _short_flags(word: str, items: Iterable[Argument]) -> dict[str, str]:
    """Short flags and their help. A short flag is offered only after it was typed, to show its meaning."""
    return {name: str(item.options.get("help", "")) for item in items for name in item.names if name == word}
