"""What ``-f`` does to a list: a picture that is drawn anew on a terminal, and lines of what changed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pycloud.client.events import OnLoss
from pycloud.errors import RedisUnavailable
from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import Exit
from pycloud.shell.terminal.redraw import Screen

T = TypeVar("T")


@dataclass(frozen=True)
class Feed(Generic[T]):
    """A list that changes.

    ``look`` reads it, at most as many as there is room for (None: all); ``lines``: what is drawn of it, so
    many columns wide. ``id``, ``json``:
    of one entry; ``telling``: what of it is worth a line when it changes; ``gone``: the line for one that is not there
    any more, by its id. ``every``: seconds between two looks without any news.
    """

    look: Callable[[int | None], Sequence[T]]
    lines: Callable[[Sequence[T], int], Sequence[str]]
    id: Callable[[T], str]
    json: Callable[[T], bytes]
    telling: Callable[[T], object]
    gone: Callable[[str], bytes]
    every: float = 5.0


def follow(context: Context, feed: Feed[T]) -> Exit:
    """Show it, until Ctrl-C or the end of ``--timeout``."""
    if context.printer.mode == "table" and context.printer.redraws:
        _draw(context, feed)
    else:
        _tell(context, feed)
    return Exit.DONE


def _draw(context: Context, feed: Feed[T]) -> None:
    screen = Screen(context.printer.out)
    last: list[str] = []

    def lost(error: RedisUnavailable | None) -> None:
        notice = [] if error is None else [f"Going on as soon as Redis is back: {error.message}"]
        screen.draw([*last[: screen.room - 1], *notice])

    def look() -> Sequence[T]:
        return feed.look(screen.room)

    for seen in _looks(context, look, feed.every, lost):
        last = list(feed.lines(seen, screen.width))
        screen.draw(last)


def _tell(context: Context, feed: Feed[T]) -> None:
    printer, known = context.printer, dict[str, object]()

    def lost(error: RedisUnavailable | None) -> None:
        printer.say("Redis is back." if error is None else f"{error.message}; going on as soon as it is back.")

    for seen in _looks(context, lambda: feed.look(None), feed.every, lost):
        now = {feed.id(entry): feed.telling(entry) for entry in seen}
        for entry in seen:
            if known.get(feed.id(entry)) != now[feed.id(entry)]:
                printer.line(feed.id(entry) if printer.mode == "ids" else feed.json(entry))
        for gone in known.keys() - now.keys():
            printer.line(gone if printer.mode == "ids" else feed.gone(gone))
        known = now
        printer.out.flush()


def _looks(context: Context, look: Callable[[], Sequence[T]], every: float, lost: OnLoss) -> Iterator[Sequence[T]]:
    return context.client.watch(look, every=every, timeout=context.timeout, on_loss=lost)
