"""Somebody's machine, as far as settings look at it: made up, so that a test can be anybody anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pycloud.config import Config
from pycloud.config.loader import Host, load
from pycloud.errors import ConfigError


class Machine:
    """Somebody's machine: its files, its variables, and what ``load`` makes of them."""

    def __init__(self, root: Path, uid: int = 1000) -> None:
        self.uid, self.name = uid, "box.example.net"
        self.home = root / "home"
        self.system_file = root / "etc" / "pycloud.toml"
        self.own_file = self.home / ".config" / "pycloud" / "pycloud.toml"
        self.environ: dict[str, str] = {}

    def write(self, file: Path, content: str) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def load(self, *, config_file: str | None = None, daemon: bool = False, **flags: Any) -> Config:
        host = Host(self.uid, self.name, self.environ, self.home, self.system_file)
        return load(flags, host, config_file=config_file, daemon=daemon)

    def refusal(self, **flags: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(**flags)
        assert "\n" not in caught.value.message
        return caught.value.message


def config_with(data_dir: Path, **values: object) -> Config:
    """A configuration in which just these settings were set by somebody."""
    places = {"data_dir": data_dir, "run_dir": data_dir / "run", "hostname": "h"}
    return Config(**{**places, **values}, sources=dict.fromkeys(values, "flag"))  # type: ignore[arg-type]
