"""Converts the engine's statistics and details of a container. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pycloud.runtimes.base import Usage

NANO = 1e9
#: Memory with contents of files that can be reclaimed at once: its name in cgroup v2, and in v1.
RECLAIMABLE_FIELDS = ("inactive_file", "total_inactive_file")


def parse_stats(stats: Mapping[str, Any]) -> Usage | None:
    """Convert one reading of ``stats``; None where the container does not run. Threads count as processes."""
    try:
        count = int(stats["pids_stats"].get("current") or 0)
        cpu = stats["cpu_stats"]["cpu_usage"]["total_usage"] / NANO
        at = datetime.fromisoformat(stats["read"]).timestamp()
        memory = stats["memory_stats"]
        detail = memory.get("stats") or {}
        reusable = next((detail[name] for name in RECLAIMABLE_FIELDS if name in detail), 0)
        used = max(0, int(memory.get("usage") or 0) - int(reusable))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Usage(at, cpu, used, count) if count else None


def parse_details(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details of interest to people; empty values are left out."""
    config, state = inspected.get("Config") or {}, inspected.get("State") or {}
    command = [inspected.get("Path") or "", *(inspected.get("Args") or [])]
    found = {
        "image": config.get("Image"),
        "image_id": inspected.get("Image"),
        "container": str(inspected.get("Id") or "")[:12],
        "name": str(inspected.get("Name") or "").removeprefix("/"),
        "pid": state.get("Pid"),
        "user": config.get("User"),
        "directory": config.get("WorkingDir"),
        "command": [word for word in command if word],
        "restarts": inspected.get("RestartCount"),
        "memory_limit": (inspected.get("HostConfig") or {}).get("Memory"),
        "out_of_memory": state.get("OOMKilled"),
    }
    return {name: value for name, value in found.items() if value}
