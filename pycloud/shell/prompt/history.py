"""The history of the prompt, stored in a file without lines that contain secrets.

If the file cannot be written, the history is held in memory only, and one warning is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from prompt_toolkit.history import FileHistory

#: Matches a line that sets a variable whose name indicates a secret, regardless of quoting.
SECRET_VARIABLE = re.compile(r"(PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|CREDENTIAL|KEY)[^\s=]*=", re.IGNORECASE)
ENV_FLAG = re.compile(r"(^|\s)['\"]?(-e|--env)")
SECRET_URL = re.compile(r"://[^\s@]*:[^\s]*@|[?&;]password=", re.IGNORECASE)


class PromptHistory(FileHistory):
    """Stores lines in memory, and in a file as long as it can be written; then ``take_warning`` returns the reason."""

    def __init__(self, file: Path) -> None:
        """Create ``file`` with mode 0600. Never raises OSError; a failure is returned by ``take_warning``."""
        super().__init__(str(file))
        self._file, self._unwritable, self._pending_warning = file, False, ""
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.chmod(0o600)
        except OSError as error:
            self._stop_writing(error)

    def append_string(self, string: str) -> None:
        """Add a line, unless it contains a secret: such a line is stored neither in memory nor in the file."""
        if not holds_secret(string):
            super().append_string(string)

    def load_history_strings(self) -> list[str]:
        """The lines in the file, the newest first; empty where it cannot be read."""
        try:
            return list(super().load_history_strings())
        except OSError as error:
            self._stop_writing(error)
            return []

    def store_string(self, string: str) -> None:
        """Write a line to the file; does nothing after a write error."""
        if self._unwritable:
            return
        try:
            super().store_string(string)
        except OSError as error:
            self._stop_writing(error)

    def take_warning(self) -> str:
        """Return the pending warning and clear it; usually empty."""
        warning, self._pending_warning = self._pending_warning, ""
        return warning

    def _stop_writing(self, error: OSError) -> None:
        if not self._unwritable:
            self._pending_warning = f"the history is not saved: {self._file}: {error.strerror}"
        self._unwritable = True


def history_file(environ: Mapping[str, str], home: Path) -> Path:
    """The path of the history file, in the user's state directory (XDG Base Directory Specification)."""
    state_home = Path(environ.get("XDG_STATE_HOME", ""))
    return (state_home if state_home.is_absolute() else home / ".local" / "state") / "pycloud" / "pycloudctl_history"


def holds_secret(line: str) -> bool:
    """Whether a line sets a variable whose name indicates a secret (``--env``), or contains a URL with a password."""
    return bool(SECRET_URL.search(line) or (ENV_FLAG.search(line) and SECRET_VARIABLE.search(line)))
