"""``top`` on the terminal: handles keys, draws lines, and runs the worker threads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any, cast

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output.color_depth import ColorDepth

from pycloud.client import Client, NotFound
from pycloud.shell.live.feed import LiveState
from pycloud.shell.live.health import redis_address
from pycloud.shell.terminal.signals import exit_app, install_sigterm_handler
from pycloud.shell.top.state import TopState
from pycloud.shell.top.table import Table, TableQuery
from pycloud.shell.top.view import Frame, draw, section_heights
from pycloud.shell.top.workers import LOG_BYTES, LOG_TIMEOUT, LogWorker, RemovalWorker, SortWorker

BOUND_KEYS = (
    *("up", "down", "pageup", "pagedown", "home", "end", "escape", "enter", "backspace", "delete"),
    *("c-b", "c-c", "c-d", "c-f", "c-u", Keys.Any),
)


class Screen:
    """Draws the state in ``live_state`` until the user leaves the screen."""

    def __init__(self, client: Client, live_state: LiveState, query: TableQuery, *, colour: bool) -> None:
        self._client, self._live_state = client, live_state
        self._state = TopState(query)
        self._table, self._log = self._state.table, ("", cast(Sequence[str], ()))
        self._sort_worker = SortWorker(live_state, self._on_table, self._show_message)
        self._log_worker = LogWorker(self._fetch_log, self._on_log)
        self._removal_worker = RemovalWorker(self._remove, self._show_message)
        self._app: Application[None] = Application(
            layout=Layout(Window(FormattedTextControl(self._text, show_cursor=False), always_hide_cursor=True)),
            key_bindings=self._keys(),
            full_screen=True,
            color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
        )

    def run(self) -> None:
        """Run until the user leaves the screen; restores the terminal. An unexpected exception is raised afterwards."""
        self._live_state.on_change.append(self._sort_worker.on_first_data)
        self._sort_worker.set_query(self._state.query)
        try:
            with self._sort_worker, self._log_worker, self._removal_worker:
                self._app.run(pre_run=lambda: install_sigterm_handler(self._app))
        finally:
            self._live_state.on_change.remove(self._sort_worker.on_first_data)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        for name in BOUND_KEYS:
            keys.add(name)(self._on_keys)
        return keys

    def _on_keys(self, event: KeyPressEvent) -> None:
        with self._exit_on_error():
            for press in event.key_sequence:
                self._handle_key(press.key.value if isinstance(press.key, Keys) else press.key)

    def _handle_key(self, key: str) -> None:
        state = self._state
        if session := state.press(key):
            state.message = f"Removing {session} ..."
            self._removal_worker.add(session)
        self._sort_worker.set_query(state.query)
        self._show_log()
        if state.exiting and not self._app.is_done:
            self._app.exit()

    def _text(self) -> StyleAndTextTuples:
        size = self._app.output.get_size()
        with self._exit_on_error():
            if self._table is not self._state.table:
                self._state.set_table(self._table)
            frame = self._frame()
            self._state.set_height(section_heights(frame, size.rows).rows)
            self._show_log()
            lines = draw(frame, size.columns, size.rows)
            fragments: StyleAndTextTuples = []
            for style, text in lines:
                fragments += [(style, text), ("", "\n")]
            return fragments[:-1]
        return []

    def _show_log(self) -> None:
        """Show the log of the selected session; the selection may also change because a session was removed."""
        self._log_worker.show(self._state.selection.session if self._state.log else "")

    def _frame(self) -> Frame:
        session, log = self._log
        state, live_state = self._state, self._live_state
        log_lines = log if session == state.selection.session else ()
        return Frame(
            state, live_state.health, live_state.sessions, redis_address(self._client.url), time.time(), log_lines
        )

    @contextlib.contextmanager
    def _exit_on_error(self) -> Any:
        """End the screen on an unexpected exception, which is shown after the terminal is restored."""
        try:
            yield
        except Exception as error:
            exit_app(self._app, error)

    def _fetch_log(self, session: str) -> bytes:
        return self._client.logs(session, max_bytes=LOG_BYTES, timeout=LOG_TIMEOUT)

    def _remove(self, session: str) -> str:
        try:
            existed = self._client.remove(session).status
        except NotFound:
            existed = False
        return f"{session} removed." if existed else f"There is no session {session}."

    # The methods below are called by the worker threads. They store results, which the next redraw uses.

    def _on_table(self, table: Table | None) -> None:
        self._table = table or self._table
        self._app.invalidate()

    def _on_log(self, session: str, lines: Sequence[str]) -> None:
        self._log = (session, lines)
        self._app.invalidate()

    def _show_message(self, text: str) -> None:
        self._state.message = text
        self._app.invalidate()
