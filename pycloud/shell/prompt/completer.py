"""Completes what is typed at the prompt: commands, flags, choices, files, clouds and sessions.

From the table of commands and the feed's last picture, so that no key stroke waits for Redis.
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
from pycloud.shell.live.session_cache import Sessions
from pycloud.shell.prompt.expected import Expected, expected
from pycloud.shell.prompt.files import file_names
from pycloud.shell.prompt.fuzzy import best, match, matching, some
from pycloud.shell.prompt.words import Typed, typed
from pycloud.shell.terminal.output import address, age, printable

#: More than this help nobody, and each costs time at every key.
OFFERED = 50


@dataclass(frozen=True)
class Offer:
    """A word, what is said about it, and how much of its beginning is not shown, as it stands on the line already."""

    text: str
    about: str = ""
    hidden: int = 0


class LineCompleter(Completer):
    """Offers what may stand at the cursor. ``health`` and ``sessions`` return the last pictures."""

    def __init__(
        self, commands: Iterable[Command], health: Callable[[], Health], sessions: Callable[[], Sessions]
    ) -> None:
        self._rows = tuple(commands)
        self._named = {name: row for row in self._rows for name in (row.name, *row.aliases)}
        self._health, self._sessions = health, sessions

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What the word before the cursor may become, the best first."""
        line = typed(document.text_before_cursor)
        wanted = expected(self._named, line.before, line.word)
        word = line.word.removeprefix(wanted.prefix)
        for offer in self._offers(wanted, word, line):
            yield Completion(
                wanted.prefix + quoted(offer.text),
                start_position=line.start - len(document.text_before_cursor),
                display=_shown(word[offer.hidden :], offer.text[offer.hidden :]),
                display_meta=offer.about,
            )

    def _offers(self, wanted: Expected, word: str, line: Typed) -> Iterable[Offer]:
        if wanted.commands:
            return _told(word, {row.name: row.summary for row in self._rows})
        if wanted.flags:
            names = {_longest(item): str(item.options.get("help", "")) for item in wanted.flags}
            return _told(word, {**names, **_short(word, wanted.flags)})
        item = wanted.value
        if item is None:
            return ()
        if item.choices:
            return _told(word, dict.fromkeys(item.choices, ""))
        return self._of_kind(item, word, line)

    def _of_kind(self, item: Argument, word: str, line: Typed) -> Iterable[Offer]:
        if item.kind == "file":
            hidden = word.rfind("/") + 1
            return (Offer(name, hidden=hidden) for name in file_names(word)[:OFFERED])
        if item.kind == "cloud":
            return self._clouds(word)
        if item.kind == "session":
            return self._offered_sessions(word, set(line.before))
        return ()

    def _clouds(self, word: str) -> Iterable[Offer]:
        """By id or by the name of their host."""
        health = self._health()
        lines = {f"{cloud} {rank.host}": cloud for cloud, rank in health.clouds.items()}
        for text in best(word, lines):
            rank = health.clouds[lines[text]]
            words = [printable(rank.host), f"sessions: {rank.sessions}", "draining" if rank.draining else ""]
            silent = "silent" if rank.id in health.pulse.silent else ""
            yield Offer(rank.id, ", ".join(part for part in (*words, silent) if part))

    def _offered_sessions(self, word: str, named: set[str]) -> Iterable[Offer]:
        """Those that live come first; those that stand on the line already are not offered again."""
        sessions, now = self._sessions(), time.time()
        found = some(word, sessions.living, OFFERED)
        found += some(word, sessions.others, OFFERED - len(found)) if len(found) < OFFERED else []
        for text in found:
            if text not in named:
                yield Offer(text, about(sessions.by_word[text], text, now))


def complete(event: KeyPressEvent) -> None:
    """What TAB does: it takes the next offer that is shown; where none is, the only one, or what they have in common.
    Those that begin as it was typed count more.

    At once, and not when offers have come up: what is typed quickly, or comes over a slow line, comes in one piece, and
    prompt_toolkit forgets a TAB that it meets while it is looking for offers.
    """
    buffer = event.current_buffer
    if buffer.complete_state:
        buffer.complete_next()
        return
    found = list(buffer.completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
    before = buffer.document.text_before_cursor
    begun = [each for each in found if before.endswith(each.text[: -each.start_position])] or found
    if len(begun) == 1:
        buffer.apply_completion(begun[0])
    elif common := get_common_complete_suffix(buffer.document, begun):
        buffer.insert_text(common)
    else:
        buffer.start_completion()


def about(record: SessionRecord, word: str, now: float) -> str:
    """What is said of a session beside ``word``, its id or its name: the other one, state, host and age."""
    other = record.id[:8] if word != record.id else record.name or ""
    created = record.created
    words = [
        other,
        record.state,
        address(record.host or "", record.port or None),
        age(now - created) if isinstance(created, float) else "",
        "its cloud is away" if record.stale is True else "",
    ]
    return printable(" ".join(part for part in words if part))


def quoted(text: str) -> str:
    """As it is to be typed. A ``~/`` in front stays as it is: nobody would know it in quotation marks."""
    home = "~/" if text.startswith("~/") else ""
    rest = text.removeprefix(home)
    return home + (shlex.quote(rest) if rest else "")


def _told(word: str, texts: Mapping[str, str]) -> Iterable[Offer]:
    return (Offer(text, texts[text]) for text in best(word, texts))


def _longest(item: Argument) -> str:
    return max(item.names, key=len)


def _short(word: str, items: Iterable[Argument]) -> dict[str, str]:
    """A short flag is offered only where it was typed: to say what it means."""
    return {name: str(item.options.get("help", "")) for item in items for name in item.names if name == word}


def _shown(word: str, text: str) -> StyleAndTextTuples:
    """The text, with what was typed of it marked."""
    found = match(word, matching(word), text) if word else None
    if found is None or found.rank == 2:
        return [("", text)]
    end = found.start + len(word)
    return [("", text[: found.start]), ("bold underline", text[found.start : end]), ("", text[end:])]
