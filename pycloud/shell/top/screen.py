"""``top`` on the terminal: keys in, lines out, and the threads that do the rest."""

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
from pycloud.shell.live.feed import Feed
from pycloud.shell.live.health import place
from pycloud.shell.terminal.signals import leave, mind
from pycloud.shell.top.state import State
from pycloud.shell.top.table import Table, Wish
from pycloud.shell.top.view import Scene, draw, shares
from pycloud.shell.top.workers import LOG_BYTES, LOG_PATIENCE, Arranger, LogReader, Remover

NAMED = (
    *("up", "down", "pageup", "pagedown", "home", "end", "escape", "enter", "backspace", "delete"),
    *("c-b", "c-c", "c-d", "c-f", "c-u", Keys.Any),
)


class Screen:
    """Draws what the feed knows, until its user leaves it."""

    def __init__(self, client: Client, feed: Feed, wish: Wish, *, colour: bool) -> None:
        self._client, self._feed = client, feed
        self._state = State(wish)
        self._table, self._log = self._state.table, ("", cast(Sequence[str], ()))
        self._arranger = Arranger(feed, self._arranged, self._say)
        self._reader = LogReader(self._fetch, self._read)
        self._remover = Remover(self._remove, self._say)
        self._app: Application[None] = Application(
            layout=Layout(Window(FormattedTextControl(self._text, show_cursor=False), always_hide_cursor=True)),
            key_bindings=self._keys(),
            full_screen=True,
            color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
        )

    def run(self) -> None:
        """Returns when it was left; the terminal is as it was before. Whatever went wrong in it is raised."""
        self._feed.on_change.append(self._arranger.first)
        self._arranger.want(self._state.wish)
        try:
            with self._arranger, self._reader, self._remover:
                self._app.run(pre_run=lambda: mind(self._app))
        finally:
            self._feed.on_change.remove(self._arranger.first)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        for name in NAMED:
            keys.add(name)(self._pressed)
        return keys

    def _pressed(self, event: KeyPressEvent) -> None:
        with self._mended():
            for press in event.key_sequence:
                self._press(press.key.value if isinstance(press.key, Keys) else press.key)

    def _press(self, key: str) -> None:
        state = self._state
        if session := state.press(key):
            state.said = f"Removing {session} ..."
            self._remover.add(session)
        self._arranger.want(state.wish)
        self._show_log()
        if state.over and not self._app.is_done:
            self._app.exit()

    def _text(self) -> StyleAndTextTuples:
        size = self._app.output.get_size()
        with self._mended():
            if self._table is not self._state.table:
                self._state.arranged(self._table)
            scene = self._scene()
            self._state.sized(shares(scene, size.rows).rows)
            self._show_log()
            lines = draw(scene, size.columns, size.rows)
            fragments: StyleAndTextTuples = []
            for style, text in lines:
                fragments += [(style, text), ("", "\n")]
            return fragments[:-1]
        return []

    def _show_log(self) -> None:
        """Of the session that is selected now: it may have got there because another one is gone."""
        self._reader.show(self._state.place.session if self._state.log else "")

    def _scene(self) -> Scene:
        session, log = self._log
        state, feed = self._state, self._feed
        shown = log if session == state.place.session else ()
        return Scene(state, feed.health, feed.sessions, place(self._client.url), time.time(), shown)

    @contextlib.contextmanager
    def _mended(self) -> Any:
        """A bug ends it, once the terminal is in order, and is shown there."""
        try:
            yield
        except Exception as error:
            leave(self._app, error)

    def _fetch(self, session: str) -> bytes:
        return self._client.logs(session, max_bytes=LOG_BYTES, timeout=LOG_PATIENCE)

    def _remove(self, session: str) -> str:
        try:
            there = self._client.remove(session).status
        except NotFound:
            there = False
        return f"{session} removed." if there else f"There is no session {session} any more."

    # What follows is called by threads. They leave what they have where it is found when it is drawn.

    def _arranged(self, table: Table | None) -> None:
        self._table = table or self._table
        self._app.invalidate()

    def _read(self, session: str, lines: Sequence[str]) -> None:
        self._log = (session, lines)
        self._app.invalidate()

    def _say(self, text: str) -> None:
        self._state.said = text
        self._app.invalidate()
