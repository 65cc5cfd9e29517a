"""What was typed at the prompt, kept in a file for the next time: but no secrets, and never at any price.

A file that cannot be written is no reason to stop: what is typed then lives in memory only, and that is said once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from prompt_toolkit.history import FileHistory

#: A variable whose name speaks of a secret is set somewhere on the line; how it is quoted does not matter.
SECRET_VARIABLE = re.compile(r"(PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|CREDENTIAL|KEY)[^\s=]*=", re.IGNORECASE)
ENV_FLAG = re.compile(r"(^|\s)['\"]?(-e|--env)")
SECRET_URL = re.compile(r"://[^\s@]*:[^\s]*@|[?&;]password=", re.IGNORECASE)


class PromptHistory(FileHistory):
    """Lines in a file, as long as it can be written, and in memory. ``news`` says when that has come to an end."""

    def __init__(self, file: Path) -> None:
        """Makes ``file``, which nobody else may read, where it can; raises nothing where it cannot."""
        super().__init__(str(file))
        self._file, self._unwritable, self._pending_warning = file, False, ""
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.chmod(0o600)
        except OSError as error:
            self._stop_writing(error)

    def append_string(self, string: str) -> None:
        """Keep a line, unless it holds a secret: such a line is forgotten at once."""
        if not holds_secret(string):
            super().append_string(string)

    def load_history_strings(self) -> list[str]:
        """The lines of earlier times, the newest first."""
        try:
            return list(super().load_history_strings())
        except OSError as error:
            self._stop_writing(error)
            return []

    def store_string(self, string: str) -> None:
        """Write a line to the file."""
        if self._unwritable:
            return
        try:
            super().store_string(string)
        except OSError as error:
            self._stop_writing(error)

    def take_warning(self) -> str:
        """What went wrong since this was asked last; usually nothing."""
        warning, self._pending_warning = self._pending_warning, ""
        return warning

    def _stop_writing(self, error: OSError) -> None:
        if not self._unwritable:
            self._pending_warning = f"what you type is not kept: {self._file}: {error.strerror}"
        self._unwritable = True


def history_file(environ: Mapping[str, str], home: Path) -> Path:
    """Where typed lines are kept: in the user's state directory, as XDG names it."""
    state_home = Path(environ.get("XDG_STATE_HOME", ""))
    return (state_home if state_home.is_absolute() else home / ".local" / "state") / "pycloud" / "pycloudctl_history"


def holds_secret(line: str) -> bool:
    """Whether a line sets a variable that looks like a secret, or names a URL with a password."""
    return bool(SECRET_URL.search(line) or (ENV_FLAG.search(line) and SECRET_VARIABLE.search(line)))
