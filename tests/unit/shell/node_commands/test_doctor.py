"""What ``doctor`` says of the settings of pycloudctl."""

from __future__ import annotations

from pathlib import Path

from pycloud.shell.node_commands.config import SettingValue
from pycloud.shell.node_commands.doctor import check_settings
from pycloud.shell.node_commands.findings import Finding
from tests.support.findings import only_finding


def test_settings(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.touch(mode=0o644)
    url = "redis://:sesame@here/0"

    def wrong(value: str, source: str) -> list[Finding]:
        return [each for each in check_settings([SettingValue("redis", value, source)]) if each.level != "ok"]

    assert wrong("redis://here/0", "flag --redis") == wrong(url, "variable PYCLOUD_REDIS_URL") == []
    assert "no Redis is configured" in only_finding(wrong("redis://here/0", "default"))[2]
    assert "command line" in only_finding(wrong(url, "flag --redis"))[2]
    assert "other users can read" in only_finding(wrong(url, f"file {file}"))[2]
    assert "sesame" not in "".join(map(str, check_settings([SettingValue("redis", url, f"file {file}")])))
    file.chmod(0o600)
    assert wrong(url, f"file {file}") == []
