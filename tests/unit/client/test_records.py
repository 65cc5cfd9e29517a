"""Sessions as Redis has them on record."""

from __future__ import annotations

import msgspec
import pytest

from pycloud.client import UnusableAnswer
from pycloud.client.records import parse_record


def test_a_record_has_what_its_hash_says() -> None:
    fields = {
        "cloud": "c", "state": "exited", "host": "h", "port": "", "created": "1.5", "exit_code": "0", "request": "r",
    }  # fmt: skip
    record = parse_record("s", fields)

    assert msgspec.to_builtins(record) == {
        "cloud": "c", "id": "s", "status": False, "state": "exited", "host": "h", "created": 1.5, "exit_code": 0,
        "request": "r",
    }  # fmt: skip


def test_a_record_of_a_newer_cloud_can_be_read() -> None:
    record = parse_record("s", {"cloud": "c", "state": "dreaming", "colour": "blue"})

    assert (record.state, record.status) == ("dreaming", False)


def test_a_record_that_makes_no_sense_is_named() -> None:
    with pytest.raises(UnusableAnswer, match="session s1"):
        parse_record("s1", {"cloud": "c", "state": "running", "port": "many"})
