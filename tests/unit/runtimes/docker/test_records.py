"""What is on record of a container, in its file and out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycloud.runtimes import Exit, Started
from pycloud.runtimes.docker.records import ContainerRecord, ContainerRecords, Stage, decode, encode

SESSION = "1" * 20
NODE, OTHER = "1" * 10, "2" * 10


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record = ContainerRecord(
        SESSION,
        Stage.REMOVING,
        1.5,
        {"request": "ä"},
        "id",
        3.0,
        Started(80, 1.0, {"80/tcp": 80}),
        Exit(None, "why", 2.0),
        {"n": 1},
    )
    assert decode(encode(record)) == record
    records = ContainerRecords(tmp_path / "docker", NODE)
    records.load()
    records.write(record)
    again = ContainerRecords(tmp_path / "docker", NODE)
    again.load()
    assert list(again) == [record]
    other = ContainerRecords(tmp_path / "docker", OTHER)
    other.load()
    assert list(other) == [], "they are another node's"
    for nonsense in (b"", b"{", b"[]", b'{"session": "x"}', encode(record).replace(b"removing", b"dancing")):
        with pytest.raises(ValueError):
            decode(nonsense)
