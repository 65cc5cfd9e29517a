"""Working directories: made private, and removed whatever is in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pycloud.keeper.storage import workdir
from tests.support.folders import let_others_pass


def test_it_holds_script_and_facts(tmp_path: Path) -> None:
    path = tmp_path / "s"
    workdir.create(str(path), "echo ü\n", {"port": 1}, None)
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "pycloud.init").read_text() == "echo ü\n"
    assert (path / "pycloud.init").stat().st_mode & 0o777 == 0o700
    assert json.loads((path / "pycloud.json").read_text()) == {"port": 1}


def test_nothing_to_remove_is_fine(tmp_path: Path) -> None:
    workdir.remove(str(tmp_path / "nothing"))


def test_a_tree_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")
    tree = tmp_path / "tree"
    for name in ("a/b/c", "a/b/d", "e"):
        (tree / name).mkdir(parents=True)
        (tree / name / "file").write_text("x")
        (tree / name / "link").symlink_to(precious)
    (tree / "link").symlink_to(precious, target_is_directory=True)
    os.mkfifo(tree / "pipe")
    workdir.remove(str(tree))
    assert not tree.exists()
    assert (precious / "file").read_text() == "keep me"


def test_a_link_in_place_of_the_directory_is_removed_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "link").symlink_to(precious)
    workdir.remove(str(tmp_path / "link"))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_no_depth_is_too_deep(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):  # far beyond the longest path, Python's recursion and most limits on descriptors
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    workdir.remove(str(top))
    assert not top.exists()


def _as_nobody_remove(tree: Path) -> int:
    """Remove ``tree`` in a child that has no special rights; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            workdir.remove(str(tree))
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.usefixtures("root")
def test_rights_given_away_are_taken_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tree = home / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_text("x")
    for path in (home, tree, tree / "a", tree / "a" / "b"):
        os.chown(path, 65534, 65534)
    for path in (tree / "a" / "b", tree / "a", tree):
        path.chmod(0)
    let_others_pass(tmp_path)
    assert _as_nobody_remove(tree) == 0
    assert not tree.exists()


@pytest.mark.parametrize("inside", ["a directory", "many files", "a large file"])
def test_what_takes_long_is_left_to_the_thread_untouched(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "file").touch()
    if inside == "a directory":
        (folder / "sub").mkdir()
    elif inside == "many files":
        for number in range(20):
            (folder / str(number)).touch()
    else:
        with (folder / "large").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 17 << 20)
    there = sorted(path.name for path in folder.iterdir())
    assert not workdir.remove_small(str(folder))
    assert sorted(path.name for path in folder.iterdir()) == there


def test_small_things_are_removed_and_links_in_their_place_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "link").symlink_to(precious)
    (tmp_path / "link").symlink_to(precious)
    for name in ("s", "link", "nothing"):
        assert workdir.remove_small(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert [path.name for path in precious.iterdir()] == ["file"]
