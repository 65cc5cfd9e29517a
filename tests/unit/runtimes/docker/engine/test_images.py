"""Pulls of images: how far one is, and a registry that says nothing any more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest

from pycloud.errors import StartFailed
from pycloud.runtimes import PullProgress
from pycloud.runtimes.docker.engine import images
from pycloud.runtimes.docker.engine.images import PullTracker


def test_how_far_a_pull_is() -> None:
    layers = PullTracker("x:1")
    assert (layers.done, layers.progress().text) == (None, "contacting the registry")
    for line in (
        {"status": "Pulling from x", "id": "1"},
        {"status": "Already exists", "progressDetail": {}, "id": "a"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "b"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "c"},
        {"status": "Downloading", "progressDetail": {"current": 1000000, "total": 4000000}, "id": "b"},
    ):
        layers.update(line)
    assert (layers.done, layers.progress().text) == (0.25, "1 of 3 layers, 1.0 of 4.0 MB")
    layers.update({"status": "Download complete", "id": "b"})
    layers.update({"status": "Extracting", "progressDetail": {"current": 5, "total": 9}, "id": "b"})
    layers.update({"status": "Pull complete", "id": "b"})
    layers.update({"status": "Pull complete", "id": "c"})
    assert (layers.done, layers.progress().text) == (1.0, "3 of 3 layers, 4.0 of 4.0 MB")
    layers.update({"status": "Digest: sha256:0"})
    layers.update({})
    assert layers.done == 1.0


def test_a_registry_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "REPORT_INTERVAL", 0.01)
    monkeypatch.setattr(images, "STALL_TIMEOUT", 0.05)
    monkeypatch.setattr(images, "credentials_of", lambda _image: {})
    reports, begun = list[PullProgress](), list[float]()

    def run(_work: object, patience: float) -> None:
        begun.append(patience)
        gevent.sleep(60)

    pulls = images.ImagePuller(cast(Any, SimpleNamespace(run=run)))
    for count in (1, 2):
        with pytest.raises(StartFailed, match="no response from the registry for") as failed:
            pulls.pull("x:1", None, reports.append)
        assert failed.value.retryable
        assert len(begun) == count, "the next one who wants it tries again"
    assert reports
