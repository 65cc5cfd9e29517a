"""Parts of the table of commands that several tests go through."""

from __future__ import annotations

from pycloud.shell.base.flags import COMMON_FLAGS, CONNECTION_FLAGS
from pycloud.shell.dispatch.table import COMMANDS

#: The flags that are taken before and after every command.
FLAGS_OF_ALL_COMMANDS = (*CONNECTION_FLAGS, *COMMON_FLAGS)
#: The commands that can be typed behind ``pycloudctl``, and not only at the prompt.
ONE_SHOT_COMMANDS = [row for row in COMMANDS if not row.prompt_only]
