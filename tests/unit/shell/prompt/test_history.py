"""The prompt's history: where it is kept, who may read it, and which lines are never written."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pycloud.shell.prompt.history import PromptHistory, history_file, holds_secret


def test_where_the_history_is(tmp_path: Path) -> None:
    assert history_file({"XDG_STATE_HOME": "/s"}, tmp_path) == Path("/s/pycloud/pycloudctl_history")
    fallback = tmp_path / ".local/state/pycloud/pycloudctl_history"
    assert history_file({}, tmp_path) == fallback
    assert history_file({"XDG_STATE_HOME": "relative"}, tmp_path) == fallback


def test_the_history_is_private_and_optional(tmp_path: Path) -> None:
    file = tmp_path / "state" / "pycloud" / "history"
    history = PromptHistory(file)
    assert history.take_warning() == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    below_a_file = PromptHistory(file / "below-a-file" / "history")
    below_a_file.append_string("list")
    assert "is not saved" in below_a_file.take_warning()


def test_a_history_that_breaks_goes_on_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "history"
    history = PromptHistory(file)
    history.append_string("list")
    file.unlink()
    file.mkdir()
    history.append_string("status ff")
    history.append_string("status ee")

    assert "is not saved" in history.take_warning()
    assert history.take_warning() == ""
    assert history.get_strings() == ["list", "status ff", "status ee"]
    assert list(PromptHistory(file).load_history_strings()) == []


@pytest.mark.parametrize(
    "line",
    [
        "create x -e DB_PASSWORD=sesame",
        "create x --env=api_token=1",
        "create x -eSECRET=1",
        "create x -e 'MY_KEY=a b'",
        'create x -e "PASSWORD=a',
        "create x -e DB=redis://:sesame@here/0",
        "create x -e DB=postgres://me:ses/ame@here",
    ],
)
def test_a_line_with_a_secret_is_not_kept(tmp_path: Path, line: str) -> None:
    file = tmp_path / "history"
    history = PromptHistory(file)
    history.append_string("create x -e MAP=castle --cloud c")
    history.append_string(line)

    assert history.get_strings() == ["create x -e MAP=castle --cloud c"]
    assert "castle" in file.read_text()
    assert line not in file.read_text()


@pytest.mark.parametrize("line", ["create key=", "create x -e URL=http://here:80/", "logs 3d10", "create x -e TOKENS"])
def test_other_lines_are_no_secrets(line: str) -> None:
    assert not holds_secret(line)
