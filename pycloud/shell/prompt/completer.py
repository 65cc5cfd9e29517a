"""Completion at the prompt: commands, flags, choices, files, nodes and sessions.

Uses the table of commands and the latest snapshots of ``LiveState``, so that no key stroke waits for Redis.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyPressEvent

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
from pycloud.shell.prompt.fuzzy import best_matches, best_sorted_matches, fuzzy_pattern, match
from pycloud.shell.terminal.output import address, age, printable

#: Maximum number of offers: more are of no use, and each costs time at every key stroke.
MAX_OFFERS = 50


@dataclass(frozen=True)
class Offer:
    """A completion, its description, and the length of its beginning that is hidden because it is on the line."""

    text: str
    description: str = ""
    hidden_length: int = 0


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
        for offer in self._offers(target, word, line):
            yield Completion(
                target.prefix + quoted(offer.text),
                start_position=line.start - len(document.text_before_cursor),
                display=_mark_matched(word[offer.hidden_length :], offer.text[offer.hidden_length :]),
                display_meta=offer.description,
            )

    def _offers(self, target: CompletionTarget, word: str, line: InputTokens) -> Iterable[Offer]:
        if target.commands:
            return _best_offers(word, {row.name: row.summary for row in self._rows})
        if target.flags:
            names = {_longest_name(item): str(item.options.get("help", "")) for item in target.flags}
            return _best_offers(word, {**names, **_short_flags(word, target.flags)})
        item = target.value
        if item is None:
            return ()
        if item.choices:
            return _best_offers(word, dict.fromkeys(item.choices, ""))
        return self._value_offers(item, word, line)

    def _value_offers(self, item: Argument, word: str, line: InputTokens) -> Iterable[Offer]:
        if item.kind == "file":
            hidden_length = word.rfind("/") + 1
            return (Offer(name, hidden_length=hidden_length) for name in file_names(word)[:MAX_OFFERS])
        if item.kind == "cloud":
            return self._node_offers(word)
        if item.kind == "session":
            return self._session_offers(word, set(line.before))
        return ()

    def _node_offers(self, word: str) -> Iterable[Offer]:
        """Online nodes whose id or host matches."""
        health = self._health()
        node_by_text = {f"{node} {rank.host}": node for node, rank in health.nodes.items()}
        for text in best_matches(word, node_by_text):
            heartbeat = health.nodes[node_by_text[text]]
            words = [
                printable(heartbeat.host),
                f"sessions: {heartbeat.sessions}",
                "draining" if heartbeat.draining else "",
            ]
            silent = "silent" if heartbeat.id in health.snapshot.overdue else ""
            yield Offer(heartbeat.id, ", ".join(part for part in (*words, silent) if part))

    def _session_offers(self, word: str, already_named: set[str]) -> Iterable[Offer]:
        """Sessions that match, live ones first; without those that are already on the line."""
        sessions, now = self._sessions(), time.time()
        found = best_sorted_matches(word, sessions.live_words, MAX_OFFERS)
        found += (
            best_sorted_matches(word, sessions.ended_words, MAX_OFFERS - len(found)) if len(found) < MAX_OFFERS else []
        )
        for text in found:
            if text not in already_named:
                yield Offer(text, describe_session(sessions.by_word[text], text, now))


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
        "its cloud is away" if record.stale is True else "",
    ]
    return printable(" ".join(part for part in words if part))


def quoted(text: str) -> str:
    """The text quoted for the command line. A leading ``~/`` is not quoted, because it would not be expanded then."""
    home = "~/" if text.startswith("~/") else ""
    rest = text.removeprefix(home)
    return home + (shlex.quote(rest) if rest else "")


def _best_offers(word: str, texts: Mapping[str, str]) -> Iterable[Offer]:
    return (Offer(text, texts[text]) for text in best_matches(word, texts))


def _longest_name(item: Argument) -> str:
    return max(item.names, key=len)


def _short_flags(word: str, items: Iterable[Argument]) -> dict[str, str]:
    """Short flags and their help. A short flag is offered only after it was typed, to show its meaning."""
    return {name: str(item.options.get("help", "")) for item in items for name in item.names if name == word}


def _mark_matched(word: str, text: str) -> StyleAndTextTuples:
    """The text, with the part that matches the typed word marked."""
    found = match(word, fuzzy_pattern(word), text) if word else None
    if found is None or found.rank == 2:
        return [("", text)]
    end = found.start + len(word)
    return [("", text[: found.start]), ("bold underline", text[found.start : end]), ("", text[end:])]
