"""Loads the Lua scripts of ``lua/``, each of which runs as one atomic step."""

from __future__ import annotations

from importlib.resources import files

from pycloud.transport.pipeline import LuaScript


def load_script(name: str) -> LuaScript:
    """The script ``lua/NAME.lua``."""
    return LuaScript(files("pycloud.store").joinpath("lua", f"{name}.lua").read_text())
