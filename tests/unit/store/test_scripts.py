"""The scripts say on top which keys and arguments they take, and take no others."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import takewhile

import pytest

SCRIPTS = sorted(path.name for path in files("pycloud.store").joinpath("lua").iterdir() if path.name.endswith(".lua"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_keys_are_described_on_top(name: str) -> None:
    lines = files("pycloud.store").joinpath("lua", name).read_text().splitlines()
    head = "\n".join(takewhile(lambda line: line.startswith("--"), lines))
    body = "\n".join(lines[head.count("\n") + 1 :])
    described = re.findall(r"KEYS\[(\d+)\]", head)
    assert described == sorted(set(described)), "each once, in order"
    assert set(re.findall(r"KEYS\[(\d+)\]", body)) == set(described)
    assert "ARGV" in head
    assert "Returns " in head
    assert not re.search(r"redis\.call\('[A-Z]+', '", body.replace("redis.call('TIME')", "")), "no key but those given"
