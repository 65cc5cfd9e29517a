"""What the load asked for: every request with the times at which it was published, and the sessions it was told of.

Only records: who publishes is ``load.py``, who judges is ``verdict.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

#: Answers that say "not now": a later answer to the same request may be another one.
PASSING = frozenset({"owner_away", "no_capacity", "engine_unavailable", "shutting_down", "disk_full", "name_taken"})


EXIT_CODE = 3
#: The image of the sessions that are containers: a busybox.
IMAGE = "box"
#: It needs no network, which is what takes longest, and its first process hears no polite signal.
_BOX = f'{IMAGE}\n{{{{"network": "none", "stop_signal": "SIGKILL", "command": {{command}}}}}}'


class Script(StrEnum):
    """What a session does: live until it is removed, or end by itself with EXIT_CODE after a moment."""

    SLEEPS = "exec sleep 3600"
    EXITS = f"sleep 0.3; exit {EXIT_CODE}"
    BOX_SLEEPS = _BOX.format(command='["sleep", "3600"]')
    BOX_EXITS = _BOX.format(command=f'["sh", "-c", "sleep 0.3; exit {EXIT_CODE}"]')

    @property
    def ends(self) -> bool:
        """Whether it ends by itself."""
        return self in (Script.EXITS, Script.BOX_EXITS)

    @property
    def boxed(self) -> bool:
        """Whether it is a container."""
        return self in (Script.BOX_SLEEPS, Script.BOX_EXITS)


#: Every session carries the id of the request that made it in this variable of its environment.
MARK = "FAULTS_REQUEST"


@dataclass
class Asked:
    """A request. ``copies``: how often it goes out each time; ``once``: never repeated; ``audit``: asked at the end.

    ``published`` are monotonic seconds taken just before each publish; ``next_at`` is when it goes out again unless it
    is ``done``, which it is when answered. ``name``: what the session is to be called, if anything.
    """

    op: str
    id: str
    body: bytes
    session: str = ""
    script: Script = Script.SLEEPS
    name: str = ""
    copies: int = 1
    once: bool = False
    audit: bool = False
    done: bool = False
    published: list[float] = field(default_factory=list)
    pause: float = 1.0
    next_at: float = 0.0


@dataclass
class Told:
    """A session that an answer named: which request made it, and when we heard so (monotonic seconds)."""

    id: str
    made_by: Asked
    at: float
    removal: Asked | None = None
