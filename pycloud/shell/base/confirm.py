"""Asks before more than one thing is destroyed; where nobody can be asked, only ``--yes`` will do."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import UsageError
from pycloud.shell.terminal.output import write_message

#: More than these are counted, not shown.
MAX_SHOWN = 10


def confirmed(context: Context, question: str, items: Sequence[str], total: int) -> bool:
    """Whether somebody at the terminal says yes to ``question``. ``things``: the first of ``total``, a line each.

    Raises UsageProblem where there is no terminal to ask at.
    """
    err = context.printer.err
    if sys.stdin is None or not sys.stdin.isatty() or not err.isatty():
        raise UsageError(f"{question} Nobody can be asked here; --yes says yes. Nothing was done")
    more = [f"... and {total - len(items)} more"] if total > len(items) else []
    context.printer.notice("\n".join(f"  {line}" for line in (*items, *more)))
    err.write(f"{question} [y/N] ")
    err.flush()
    answer = sys.stdin.readline()
    if not answer:
        write_message(err, "")  # Ctrl-D leaves the cursor behind the question
    return answer.strip().lower() in ("y", "yes")
