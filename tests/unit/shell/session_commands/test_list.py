"""The orders of ``list``."""

from __future__ import annotations

import pytest

from pycloud.client import SessionRecord
from pycloud.shell.base.session_order import in_order


@pytest.mark.parametrize("order", ["created", "state", "host", "cloud"])
def test_any_record_can_be_sorted(order: str) -> None:
    records = [SessionRecord("", "s1", False, ""), SessionRecord("c", "s2", True, "running", "h")]

    assert len(in_order([*records, SessionRecord("c", "s3", False, "dreaming")], order)) == 3
