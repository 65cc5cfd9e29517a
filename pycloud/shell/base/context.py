"""What a command is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycloud.client import Client
from pycloud.shell.terminal.output import Printer

if TYPE_CHECKING:
    from pycloud.shell.live.feed import LiveState


@dataclass
class PromptState:
    """What the prompt has in common with the commands that are typed there.

    ``feed``: what is known just now. ``edit`` lets several lines be typed, and returns them; it raises Interrupted
    where there shall be none. ``watching``: what happens is told above it. ``touched``: the sessions and clouds that
    the last command was about, so that what it did itself is no news.
    """

    live_state: LiveState
    edit: Callable[[], bytes]
    shows_events: bool = True
    own_changes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Context:
    """``prefix``: what people type before a command here; empty where no shell has read the line before.

    ``conversation``: where there is a prompt. ``timeout``: seconds, for each request; None: as the client has it.
    ``flags``: those that say which clouds to talk to (redis, namespace, config), as far as they were given.
    ``help_text`` returns the help for one command or (None) for all. ``read_stdin`` returns the whole of standard
    input; it raises UsageProblem where the commands themselves come from there.
    """

    client: Client
    printer: Printer
    timeout: float | None
    prefix: str
    help_text: Callable[[str | None], str]
    read_stdin: Callable[[], bytes]
    flags: Mapping[str, str]
    prompt_state: PromptState | None = None
