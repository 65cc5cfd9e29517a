"""What ``doctor`` found, taken apart."""

from __future__ import annotations

from collections.abc import Sequence

from pycloud.shell.node_commands.findings import Finding


def only_finding(findings: Sequence[Finding]) -> tuple[str, str, str]:
    """Level, subject and text of the one finding that there is."""
    (finding,) = findings
    assert finding.advice, "each says what to do"
    return finding.level, finding.about, finding.text
