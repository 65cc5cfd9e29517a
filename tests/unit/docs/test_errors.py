"""docs/errors.md lists every error code of pycloud/errors.py, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pycloud.errors import RequestError
from tests.support.folders import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
#: Cells by code: meaning, what to do, and whether the same request may succeed soon.
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)}


def kinds(base: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_code_is_on_the_page_and_no_other() -> None:
    assert set(ROWS) == {kind.code for kind in kinds()}
    assert len(re.findall(r"^\| `", PAGE, re.MULTILINE)) == len(ROWS)


def test_the_page_says_which_responses_may_change_soon() -> None:
    retryable = {kind.code for kind in kinds() if kind.retryable}
    assert {code for code, (_, _, again) in ROWS.items() if again == "soon"} == retryable
    assert {code for code, (_, _, again) in ROWS.items() if again != "no"} == retryable | {"start_failed"}


def test_the_protocol_links_to_the_page() -> None:
    assert "(errors.md)" in (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
