"""Confirmation before more than one item is removed; without a terminal only ``--yes`` confirms."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import UsageError
from pycloud.shell.terminal.output import write_message

#: Items that are listed; of further ones only the number is shown.
MAX_SHOWN = 10


def confirmed(context: Context, question: str, items: Sequence[str], total: int) -> bool:
    """Whether the user at the terminal confirms ``question``. ``items``: the first of ``total``, one line each.

    Raises UsageError where standard input or error is not a terminal.
    """
    err = context.printer.err
    if sys.stdin is None or not sys.stdin.isatty() or not err.isatty():
        raise UsageError(f"{question} There is no terminal to confirm it on: use --yes. Nothing was done")
    more = [f"... and {total - len(items)} more"] if total > len(items) else []
    context.printer.notice("\n".join(f"  {line}" for line in (*items, *more)))
    err.write(f"{question} [y/N] ")
    err.flush()
    answer = sys.stdin.readline()
    if not answer:
        write_message(err, "")  # after Ctrl-D the cursor is still on the line of the question
    return answer.strip().lower() in ("y", "yes")
