"""Asks before more than one thing is destroyed; where nobody can be asked, only ``--yes`` will do."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import UsageProblem
from pycloud.shell.terminal.output import tell

#: More than these are counted, not shown.
SHOWN = 10


def confirmed(context: Context, question: str, things: Sequence[str], total: int) -> bool:
    """Whether somebody at the terminal says yes to ``question``. ``things``: the first of ``total``, a line each.

    Raises UsageProblem where there is no terminal to ask at.
    """
    err = context.printer.err
    if sys.stdin is None or not sys.stdin.isatty() or not err.isatty():
        raise UsageProblem(f"{question} Nobody can be asked here; --yes says yes. Nothing was done")
    more = [f"... and {total - len(things)} more"] if total > len(things) else []
    context.printer.say("\n".join(f"  {line}" for line in (*things, *more)))
    err.write(f"{question} [y/N] ")
    err.flush()
    answer = sys.stdin.readline()
    if not answer:
        tell(err, "")  # Ctrl-D leaves the cursor behind the question
    return answer.strip().lower() in ("y", "yes")
