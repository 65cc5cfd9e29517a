"""Lists with ``-f``: redrawn in place on a terminal; otherwise a line of output for each change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pycloud.client.events import OnRedisLoss
from pycloud.errors import RedisUnavailable
from pycloud.shell.base.context import Context, retrying
from pycloud.shell.terminal.exit_codes import ExitCode
from pycloud.shell.terminal.redraw import Redrawer

T = TypeVar("T")


@dataclass(frozen=True)
class LiveList(Generic[T]):
    """A list that changes.

    ``read`` returns the entries; its argument is the number of lines on the screen (None: no limit). ``render`` returns
    the lines to draw, for a screen of so many columns. ``id_of`` and ``to_json``: id and JSON of an entry.
    ``change_key``: an entry is printed again when this value has changed. ``removed_line``: the JSON line for a removed
    entry, by its id. ``interval``: seconds between two reads without an event.
    """

    read: Callable[[int | None], Sequence[T]]
    render: Callable[[Sequence[T], int], Sequence[str]]
    id_of: Callable[[T], str]
    to_json: Callable[[T], bytes]
    change_key: Callable[[T], object]
    removed_line: Callable[[str], bytes]
    interval: float = 5.0


def follow(context: Context, live_list: LiveList[T]) -> ExitCode:
    """Show the list until Ctrl-C or the end of ``--timeout``."""
    if context.printer.mode == "table" and context.printer.redraws:
        _draw(context, live_list)
    else:
        _print_changes(context, live_list)
    return ExitCode.DONE


def _draw(context: Context, live_list: LiveList[T]) -> None:
    redrawer = Redrawer(context.printer.out)
    drawn: list[str] = []

    def on_loss(error: RedisUnavailable | None) -> None:
        notice = [] if error is None else [retrying(error.message)]
        redrawer.draw([*drawn[: redrawer.height - 1], *notice])

    def read() -> Sequence[T]:
        return live_list.read(redrawer.height)

    for entries in _watch(context, read, live_list.interval, on_loss):
        drawn = list(live_list.render(entries, redrawer.width))
        redrawer.draw(drawn)


def _print_changes(context: Context, live_list: LiveList[T]) -> None:
    printer, previous = context.printer, dict[str, object]()

    for entries in _watch(context, lambda: live_list.read(None), live_list.interval, context.report_redis_loss):
        current = {live_list.id_of(entry): live_list.change_key(entry) for entry in entries}
        for entry in entries:
            if previous.get(live_list.id_of(entry)) != current[live_list.id_of(entry)]:
                printer.line(live_list.id_of(entry) if printer.mode == "ids" else live_list.to_json(entry))
        for removed_id in previous.keys() - current.keys():
            printer.line(removed_id if printer.mode == "ids" else live_list.removed_line(removed_id))
        previous = current
        printer.out.flush()


def _watch(
    context: Context, read: Callable[[], Sequence[T]], interval: float, on_loss: OnRedisLoss
) -> Iterator[Sequence[T]]:
    return context.client.watch(read, every=interval, timeout=context.timeout, on_loss=on_loss)
