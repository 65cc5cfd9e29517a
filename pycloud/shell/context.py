"""What a command is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pycloud.client import Client
from pycloud.shell.render import Printer


@dataclass(frozen=True)
class Context:
    """``prefix``: what people type before a command here; empty where no shell has read the line before.

    ``timeout``: seconds, for each request; None: as the client has it.
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
