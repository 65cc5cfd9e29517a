"""The context that each command receives as its first argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycloud.client import Client
from pycloud.errors import RedisUnavailable
from pycloud.shell.terminal.output import Printer

if TYPE_CHECKING:
    from pycloud.shell.live.feed import LiveState


def retrying(reason: str) -> str:
    """The notice of a command that continues after an outage, with the ``reason`` of the outage."""
    return f"Retrying: {reason}"


def pending_requests_text(count: int) -> str:
    """A sentence on requests without a response yet when a command ends early; empty where there are none."""
    if not count:
        return ""
    return f" {count} other request{'s' if count != 1 else ''} may still be carried out."


@dataclass
class PromptState:
    """State that the prompt shares with the commands typed there.

    ``live_state``: current state of Redis, nodes and sessions. ``edit`` opens the script editor and returns the script;
    it raises Interrupted where the user cancels it. ``shows_events``: events are printed above the prompt.
    ``own_changes``: ids of the sessions and nodes that the last command changed; events it caused are not printed.
    """

    live_state: LiveState
    edit: Callable[[], bytes]
    shows_events: bool = True
    own_changes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Context:
    """``prefix``: text that users type before a command; empty at the prompt and for lines of standard input.

    ``prompt_state``: None where there is no prompt. ``timeout``: seconds for each request; None: the client's default.
    ``flags``: the connection flags (redis, namespace, config) that were given.
    ``help_text`` returns the help for one command or (None) for all. ``read_stdin`` returns standard input up to its
    end (at most one byte more than a script may have); it raises UsageError where the commands come from there.
    """

    client: Client
    printer: Printer
    timeout: float | None
    prefix: str
    help_text: Callable[[str | None], str]
    read_stdin: Callable[[], bytes]
    flags: Mapping[str, str]
    prompt_state: PromptState | None = None

    def report_redis_loss(self, error: RedisUnavailable | None) -> None:
        """Report once that Redis is lost, or back (None), so that the lack of output is not misunderstood."""
        self.printer.notice("Redis is available again." if error is None else retrying(error.message))
