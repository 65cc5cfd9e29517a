"""How far a pull has come, from what the engine says of the image's layers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pycloud.runtimes.base import PullProgress

#: Words of the engine for a layer that is here already, and for one whose bytes are here.
ALREADY_EXISTS = "Already exists"
LOADED_STATUSES = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")
MEGABYTE = 1e6


@dataclass
class Layer:
    """``total`` is None until the engine says how large it is; then ``loaded`` of it are here. Bytes."""

    loaded: int = 0
    total: int | None = None
    complete: bool = False
    unpacked: bool = False


@dataclass
class PullTracker:
    """All layers that the engine has mentioned, by its short ids."""

    image: str
    _layers: dict[str, Layer] = field(default_factory=dict)

    def update(self, message: Mapping[str, Any]) -> None:
        """One line of the engine's stream; what is not about a layer changes nothing."""
        status, name = message.get("status"), message.get("id")
        if not isinstance(status, str) or not isinstance(name, str) or status.startswith("Pulling from"):
            return
        layer = self._layers.setdefault(name, Layer())
        detail = message.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total", 0) > 0:
            layer.loaded, layer.total = detail.get("current", 0), detail["total"]
        elif status in LOADED_STATUSES or status == ALREADY_EXISTS:
            layer.complete, layer.loaded = True, layer.total or 0
        if status in ("Pull complete", ALREADY_EXISTS):
            layer.unpacked = True

    @property
    def done(self) -> float | None:
        """The share of the bytes that are here, of the layers whose size is known; None: no size is known."""
        known = [layer for layer in self._layers.values() if layer.total]
        if not known:
            return 1.0 if self._layers and all(layer.complete for layer in self._layers.values()) else None
        return min(1.0, sum(layer.loaded for layer in known) / sum(layer.total or 0 for layer in known))

    def progress(self) -> PullProgress:
        """All of it, for people too."""
        if not self._layers:
            return PullProgress(self.image, "asking the registry", None)
        unpacked = sum(layer.unpacked for layer in self._layers.values())
        layers = f"{unpacked} of {len(self._layers)} layers"
        loaded = sum(layer.loaded for layer in self._layers.values()) / MEGABYTE
        total = sum(layer.total or 0 for layer in self._layers.values()) / MEGABYTE
        return PullProgress(self.image, f"{layers}, {loaded:.1f} of {total:.1f} MB" if total else layers, self.done)
