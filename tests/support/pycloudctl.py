"""The real pycloudctl in a process of its own, a real Redis, and a fake node."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycloud.protocol.keys import Keys
from tests.support.fake_node import FakeCloud, Obedient
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from tests.support.terminal import Screen

PYCLOUDCTL = [sys.executable, "-m", "pycloud.shell"]
ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0


@dataclass
class Result:
    """What one run left behind."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()


class Run(subprocess.Popen[bytes]):
    """One run. It is ended when its test fails, or reads for too long what does not come."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._end = threading.Timer(2 * TIMEOUT, self.kill)
        self._end.daemon = True
        self._end.start()

    def __exit__(self, kind: type[BaseException] | None, *more: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *more)
        self._end.cancel()


@dataclass
class Shell:
    """Runs ``pycloudctl`` as a user would who has set the variables in ``env``."""

    url: str
    node: FakeCloud
    obedient: Obedient
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYCLOUD_", "XDG_"))}
        own = {
            "PYCLOUD_REDIS_URL": self.url,
            "PYCLOUD_NAMESPACE": self.node.names.namespace,
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.home),
            "TERM": "xterm",
        }
        return {**inherited, **own, **self.env}

    def start(self, *words: str) -> Run:
        """A run that goes on beside the test."""
        pipe = subprocess.PIPE
        return Run([*PYCLOUDCTL, *words], stdin=pipe, stdout=pipe, stderr=pipe, env=self.environ)

    def run(self, *words: str, stdin: bytes = b"") -> Result:
        """One run, from its start to its end."""
        with self.start(*words) as process:
            out, err = process.communicate(stdin, TIMEOUT)
        return Result(process.returncode, out, err.decode())

    def tell(self, *events: dict[str, object]) -> None:
        """Put events on record, as a node would."""
        with self.node.redis.pipeline() as pipeline:
            for event in events:
                spelled = json.dumps({"cloud": self.node.cloud, "time": time.time(), **event})
                pipeline.xadd(self.node.names.events_key, {"event": spelled})
            pipeline.execute()


@pytest.fixture
def shell(shared_redis: RedisServer, tmp_path: Path) -> Iterator[Shell]:
    names = Keys(f"test.{secrets.token_hex(4)}")
    obedient = Obedient(names=names)
    with FakeCloud(shared_redis.url, obedient, names=names) as node:
        obedient.redis = node.redis
        yield Shell(shared_redis.url, node, obedient, tmp_path)


@pytest.fixture
def screen(shell: Shell) -> Iterator[Screen]:
    """The prompt on a terminal, ready for a line."""
    from tests.support.terminal import Screen

    screen = Screen(shell)
    screen.asks()
    yield screen
    screen.close()
