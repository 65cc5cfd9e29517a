"""What a verdict finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """A broken promise: its kind, the request or session it is about, and how that is known."""

    kind: str
    subject: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.evidence}"
