"""What is written to a terminal to draw over what stands there."""

from __future__ import annotations

import io
import os

from pycloud.shell.terminal.redraw import Redrawer, truncate


def test_the_same_picture_is_not_drawn_twice() -> None:
    out = io.BytesIO()
    redrawer = Redrawer(out, lambda: os.terminal_size((10, 4)))
    redrawer.draw(["one", "two", "three", "four"])
    drawn = out.tell()
    redrawer.draw(["one", "two", "three", "five"])
    assert out.tell() == drawn, "the fourth does not fit"
    redrawer.draw(["one"])
    assert out.getvalue()[drawn:] == b"\r\x1b[3Aone\x1b[K\n\x1b[J"


def test_lines_are_cut_by_columns_and_not_by_characters() -> None:
    assert truncate("\x1b[32mrunning\x1b[0m on", 4) == "\x1b[32mrunn\x1b[0m"
    assert truncate("日本語", 5) == "日本"
    assert truncate("e\u0301a", 1) == "e\u0301"
