"""Which machine this is, in a line."""

from __future__ import annotations

import os
import platform
from datetime import datetime
from pathlib import Path


def where(now: datetime, disk: str) -> str:
    """When and where; ``disk`` says what the files lie on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    return f"{now:%Y-%m-%d}, {os.cpu_count()} cores ({model}), {system}, files on {disk}"
