"""The identity of a node: its id, created once, and the instance of the daemon that used the data directory before."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from pycloud.config import identity
from pycloud.config.identity import ID_FILE, INSTANCE_FILE, Identity
from pycloud.errors import ConfigError


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_id_is_created_once_and_kept(tmp_path: Path) -> None:
    made = identity.node_id(tmp_path)
    assert re.fullmatch("[0-9a-f]{10}", made)
    assert [identity.node_id(tmp_path) for _ in range(3)] == [made] * 3
    assert names_in(tmp_path) == [ID_FILE], "no temporary file is left"


@pytest.mark.parametrize("stored", ["", "abc", "0123456789a", "012345678G", "0123456789\n0123456789", "\xff" * 10])
def test_a_file_without_a_valid_id_is_an_error_and_not_replaced(tmp_path: Path, stored: str) -> None:
    """The ids of its sessions contain the old id."""
    (tmp_path / ID_FILE).write_text(stored, encoding="latin-1")
    with pytest.raises(ConfigError, match="restore it, or delete it"):
        identity.node_id(tmp_path)
    assert (tmp_path / ID_FILE).read_text(encoding="latin-1") == stored


def test_an_id_that_cannot_be_stored_is_an_error_that_names_file_and_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot be stored in {tmp_path}/gone/{ID_FILE}: No such file or directory"):
        identity.node_id(tmp_path / "gone")


def test_a_new_id_replaces_the_old_one(tmp_path: Path) -> None:
    before = identity.node_id(tmp_path)
    after = identity.regenerate_id(tmp_path)
    assert after != before
    assert identity.node_id(tmp_path) == after
    assert names_in(tmp_path) == [ID_FILE]


def test_a_new_id_that_cannot_be_written_leaves_the_old_one_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity.node_id(tmp_path)

    def fail(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        identity.regenerate_id(tmp_path)
    assert identity.node_id(tmp_path) == before


def test_a_daemon_knows_the_instance_that_used_its_directory_before(tmp_path: Path) -> None:
    assert identity.previous_instance(tmp_path) == ""
    for instance in ("first", "second"):
        identity.save_instance(tmp_path, instance)
        assert identity.previous_instance(tmp_path) == instance
    assert names_in(tmp_path) == [INSTANCE_FILE]


def test_a_copied_directory_has_no_previous_instance(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    identity.save_instance(original, "first")
    shutil.copytree(original, copy)
    assert identity.previous_instance(copy) == ""
    assert identity.previous_instance(original) == "first"


def test_a_directory_that_was_renamed_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    identity.save_instance(tmp_path / "old", "first")
    (tmp_path / "old").rename(tmp_path / "new")
    assert identity.previous_instance(tmp_path / "new") == "first"


def test_an_instance_from_before_a_reboot_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk image may have been booted twice: device and inode are the same on both hosts."""
    identity.save_instance(tmp_path, "first")
    boot_id = tmp_path / "another-boot-id"
    boot_id.write_text("another boot\n")
    monkeypatch.setattr(identity, "BOOT_ID_FILE", boot_id)
    assert identity.previous_instance(tmp_path) == ""


@pytest.mark.parametrize("content", ["", "nonsense", "[]", "{}", '{"instance": "i"}', '{"place": 1}', "\x80"])
def test_an_instance_file_that_is_invalid_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / INSTANCE_FILE).write_text(content, encoding="latin-1")
    assert identity.previous_instance(tmp_path) == ""


def test_an_instance_that_cannot_be_stored_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{INSTANCE_FILE} cannot be written: No such file"):
        identity.save_instance(tmp_path / "gone", "first")


def test_each_run_is_a_new_instance_and_its_host_name_is_looked_up_each_time() -> None:
    known: list[str | None] = [None, "engine.example.net"]
    first = Identity("c" * 10, "box.example.net", lookup_host=lambda: known.pop(0))
    assert first.instance != Identity("c" * 10, "box.example.net").instance
    assert [first.host, first.host] == ["box.example.net", "engine.example.net"]
