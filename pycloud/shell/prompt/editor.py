"""The multi-line editor at the prompt, for a script that is typed instead of read from a file."""

from __future__ import annotations

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.styles import BaseStyle

from pycloud.shell.prompt.highlighting import ScriptLexer
from pycloud.shell.terminal.exit_codes import Interrupted
from pycloud.shell.terminal.signals import install_sigterm_handler

KEY_HELP = " Esc Enter or Ctrl-D: start | Ctrl-X Ctrl-E: $EDITOR | Ctrl-C: cancel "
INDENT = "    "


class Editor:
    """Keeps typed scripts in memory until the prompt ends: the key ↑ restores one, e.g. after a node rejected it."""

    def __init__(self, style: BaseStyle, *, colour: bool) -> None:
        self._history = InMemoryHistory()
        self._session: PromptSession[str] = PromptSession(
            _line_number(0),
            multiline=True,
            prompt_continuation=lambda _width, line, wrapped: (
                _line_number(line) if not wrapped else " " * len(_line_number(0))
            ),
            lexer=ScriptLexer(),
            history=self._history,
            key_bindings=_keys(),
            bottom_toolbar=lambda: KEY_HELP[: self._session.app.output.get_size().columns],
            tempfile_suffix=".sh",
            style=style,
            color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
        )

    def edit(self) -> bytes:
        """Read a script and return it as UTF-8. Raises Interrupted on Ctrl-C, and where nothing was typed."""
        try:
            script = self._session.prompt(pre_run=lambda: install_sigterm_handler(get_app()))
        except KeyboardInterrupt:
            typed = self._session.default_buffer.text
            if not typed.strip():
                raise Interrupted("Nothing was started.") from None
            self._history.append_string(typed)
            raise Interrupted("Nothing was started; ↑ restores the typed script.") from None
        except EOFError:
            script = ""
        if not script.strip():
            raise Interrupted("The script is empty, so nothing was started.")
        return f"{script.rstrip()}\n".encode(errors="replace")


def _line_number(line: int) -> str:
    return f"{line + 1:3} "


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-d")
    def end(event: KeyPressEvent) -> None:
        """Leave if the script is empty, start it if the cursor is at its end; otherwise delete a character."""
        buffer = event.current_buffer
        if not buffer.text:
            event.app.exit(exception=EOFError)
        elif buffer.document.is_cursor_at_the_end:
            buffer.validate_and_handle()
        else:
            buffer.delete()

    @keys.add("c-x", "c-e")
    def open_external_editor(event: KeyPressEvent) -> None:
        """Edit the script in the user's editor ($EDITOR), then return here."""
        event.current_buffer.open_in_editor()

    @keys.add("tab")
    def indent(event: KeyPressEvent) -> None:
        """Insert an indentation: a script has no completion."""
        event.current_buffer.insert_text(INDENT)

    return keys
