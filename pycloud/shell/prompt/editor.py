"""Several lines at the prompt: a script that is typed, and not read from a file."""

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

KEY_HELP = " Esc Enter or Ctrl-D: start | Ctrl-X Ctrl-E: $EDITOR | Ctrl-C: leave "
INDENT = "    "


class Editor:
    """Keeps what was typed while the prompt lives: the key ↑ brings it back, should a cloud have refused it."""

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
        """The script that was typed. Raises Interrupted where there shall be none."""
        try:
            script = self._session.prompt(pre_run=lambda: install_sigterm_handler(get_app()))
        except KeyboardInterrupt:
            typed = self._session.default_buffer.text
            if not typed.strip():
                raise Interrupted("Nothing was started.") from None
            self._history.append_string(typed)
            raise Interrupted("Nothing was started; ↑ brings back what you typed.") from None
        except EOFError:
            script = ""
        if not script.strip():
            raise Interrupted("Nothing was typed, so nothing was started.")
        return f"{script.rstrip()}\n".encode(errors="replace")


def _line_number(line: int) -> str:
    return f"{line + 1:3} "


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-d")
    def end(event: KeyPressEvent) -> None:
        """At the end: that is all of it. Nothing typed at all: leave. Elsewhere it deletes, as ever."""
        buffer = event.current_buffer
        if not buffer.text:
            event.app.exit(exception=EOFError)
        elif buffer.document.is_cursor_at_the_end:
            buffer.validate_and_handle()
        else:
            buffer.delete()

    @keys.add("c-x", "c-e")
    def open_external_editor(event: KeyPressEvent) -> None:
        """Go on in the user's own editor, and come back."""
        event.current_buffer.open_in_editor()

    @keys.add("tab")
    def indent(event: KeyPressEvent) -> None:
        """There is nothing to complete in a script."""
        event.current_buffer.insert_text(INDENT)

    return keys
