"""How loaded a cloud is, and (with more than one) who takes a create. Pure functions of ranks and now."""

from __future__ import annotations


def score(sessions: int, cpu_percent: float, memory_percent: float) -> float:
    """What a rank says of a cloud's load, lower being less: its live sessions and the mean of CPU and memory in use."""
    return round(sessions + (cpu_percent + memory_percent) / 2, 3)
