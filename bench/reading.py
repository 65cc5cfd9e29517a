"""One line of the table: what was measured, the limit beside it, and what is promised of the two. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """A bound: ``most`` and ``least`` of value / limit, or, where ``absolute``, of the value in its own unit.

    Without any it is told for those who want to know, and nothing is promised.
    """

    most: float | None = None
    least: float | None = None
    absolute: bool = False

    def met(self, number: float) -> bool:
        """Whether a number is within it."""
        return (self.most is None or number <= self.most) and (self.least is None or number >= self.least)


@dataclass(frozen=True, slots=True)
class Reading:
    """``value`` and ``limit`` are both in ``unit``; ``beside`` says what the limit is of."""

    title: str
    value: float
    unit: str
    target: Target
    limit: float | None = None
    beside: str = ""

    @property
    def ratio(self) -> float | None:
        """The value in terms of its limit."""
        return None if self.limit is None else self.value / self.limit

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        number = self.value if self.target.absolute or self.ratio is None else self.ratio
        return self.target.met(number)

    def promise(self) -> str:
        """The target, as a word."""
        if self.target == Target():
            return ""
        bound = "at most" if self.target.most is not None else "at least"
        number = self.target.most if self.target.most is not None else self.target.least
        return f"{bound} {number:.3g} {self.unit if self.target.absolute else 'x'}"

    def plain(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}
