"""How long it takes pycloudctl to start."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.support.pycloudctl import PYCLOUDCTL, Shell


@pytest.mark.alone
def test_ux_19_start_up_is_quick(shell: Shell) -> None:
    def seconds(*words: str) -> float:
        began = time.monotonic()
        subprocess.run(words, env=shell.environ, check=True, capture_output=True)
        return time.monotonic() - began

    bare = min(seconds(PYCLOUDCTL[0], "-c", "pass") for _ in range(5))
    ours = min(seconds(*PYCLOUDCTL, "list") for _ in range(5))
    # 0.3 s is what is promised; machines that run tests may be busy with something else at the same time.
    assert ours - bare < 3 * 0.3
