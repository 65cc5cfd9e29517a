"""The container runtime in a process of its own, patched as the daemon is, and driven from a test that is not.

::

    with Host(tmp_path, engine.host) as host:
        session = host.start("web", port=80)
        assert host.call("wait", session)["exit_code"] == 0
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pycloud

ROOT = Path(pycloud.__file__).parent.parent
CLOUD = "c0ffee0000"
TIMEOUT = 60.0

#: Reads {"seq", "method", "args"} lines from a socket, and answers each when it is done, whatever else is under way.
PROGRAM = """
from gevent import monkey
monkey.patch_all(subprocess=False, os=False, signal=False)
import dataclasses, json, logging, socket, sys
import gevent
from pathlib import Path
from pycloud.config import Config
from pycloud.errors import PyCloudError, RequestError
from pycloud.runtimes import Exit, RecoveredSession, SessionSpec, Started
from pycloud.runtimes.docker import DockerRuntime

def plain(value):
    if isinstance(value, (Exit, RecoveredSession, Started)):
        return dataclasses.asdict(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, tuple):
        return [value[0], value[1].decode()]
    return value

line = socket.socket(fileno=int(sys.argv[1]))
logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")

def say(**fields):
    line.sendall(json.dumps(fields).encode() + b"\\n")

def carry_out(seq, method, args):
    if method == "start":
        session = args["session"]
        progress = lambda p: say(progress=dataclasses.asdict(p), session=session)
        args = [SessionSpec(**args, runtime="docker", on_progress=progress)]
    try:
        say(seq=seq, result=plain(getattr(runtime, method)(*args)))
    except RequestError as error:
        say(seq=seq, error=type(error).__name__, message=error.message, passing=error.retryable)
    except Exception as error:
        say(seq=seq, error=type(error).__name__, message=str(error), passing=False)

settings = json.loads(sys.argv[2])
for name in ("docker_volumes", "docker_allow", "docker_images"):
    settings[name] = tuple(settings.get(name, ()))
settings["data_dir"] = settings["run_dir"] = Path(settings["data_dir"])
runtime = DockerRuntime(Config(hostname="host.test", **settings), sys.argv[3])
runtime.on_recovered = lambda found: say(found=plain(found))
runtime.connect()
found = runtime.recover()
if sys.argv[4] == "alone":
    runtime.start_watching()
say(seq=0, result=plain(found))
for text in line.makefile():
    asked = json.loads(text)
    gevent.spawn(carry_out, asked["seq"], asked["method"], asked["args"])
runtime.disconnect()
"""


class Failed(Exception):
    """The runtime raised ``kind``."""

    def __init__(self, kind: str, message: str, passing: bool) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message, self.passing = kind, message, passing


class Host:
    """One runtime on ``data``. ``settings`` are those of Config; ``recovered`` is what it found at its start.

    ``alone``: it knows that there is no other one for the same cloud (``begin``).
    """

    def __init__(
        self,
        data: Path,
        engine: str,
        cloud: str = CLOUD,
        env: Mapping[str, str] | None = None,
        alone: bool = True,
        **settings: object,
    ) -> None:
        self.data, self.cloud, self.alone = data, cloud, alone
        self.settings: dict[str, object] = {"docker_host": engine, "data_dir": str(data), **settings}
        self.env = {**os.environ, "DOCKER_CONFIG": str(data / "no-docker-config"), **(env or {})}
        self.log_path = data / "log"
        self.recovered: list[dict[str, Any]] = []
        self.found: list[dict[str, Any]] = []
        #: What was told of pulls, by session: (monotonic time, fields).
        self.progress: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self._answers: dict[int, Future[Any]] = {}
        self._seq = 0

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def open(self) -> Self:
        """Start the process; waits until it has recovered."""
        self.data.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        ready: Future[Any] = Future()
        answers = self._answers = {0: ready}
        how = [json.dumps(self.settings), self.cloud, "alone" if self.alone else "one of two"]
        with theirs, self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(theirs.fileno()), *how],
                env={**self.env, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )
        self._line = ours
        threading.Thread(target=self._listen, args=(ours, answers), daemon=True).start()
        self.recovered = ready.result(TIMEOUT)
        return self

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._line.close()

    def close(self) -> int:
        """Have it let go, and end; its exit code."""
        self._line.shutdown(socket.SHUT_WR)
        code = self.process.wait(TIMEOUT)
        self._line.close()
        return code

    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text()

    def ask(self, method: str, *args: object, **fields: object) -> Future[Any]:
        """Call a method of the runtime; its result comes later."""
        self._seq += 1
        answer = self._answers[self._seq] = Future()
        asked = {"seq": self._seq, "method": method, "args": fields or args}
        self._line.sendall(json.dumps(asked).encode() + b"\n")
        return answer

    def call(self, method: str, *args: object) -> Any:
        """Call a method of the runtime. Raises Failed."""
        return self.ask(method, *args).result(TIMEOUT)

    def launch(
        self, image: str, session: str = "", env: Mapping[str, str] | None = None, **options: object
    ) -> tuple[str, Future[Any]]:
        """Have a session started; its id, and what ``start`` will return. Ended by SIGKILL, unless options say else.

        The first process of a container hears no other signal that it does not wait for.
        """
        options = {"stop_signal": "SIGKILL", **options}
        session = session or new_session(self.cloud)
        record = {"request": "r" + session, "digest": "d", "token": "t", "host": "h", "created": time.time()}
        fields = {"session": session, "script": f"{image}\n{json.dumps(options)}", "env": dict(env or {})}
        return session, self.ask("start", **fields, session_count=1, record=record)

    def start(self, image: str, env: Mapping[str, str] | None = None, **options: Any) -> str:
        """Start a session; its id. Raises Failed."""
        session, answer = self.launch(image, env=env, **options)
        answer.result(TIMEOUT)
        return session

    def files(self) -> list[str]:
        """The names of its records."""
        return sorted(path.name for path in (self.data / "docker").iterdir())

    def record(self, session: str) -> dict[str, Any]:
        """What stands in a session's record."""
        content: dict[str, Any] = json.loads((self.data / "docker" / f"{session}.json").read_text())
        return content

    def _listen(self, line: socket.socket, answers: dict[int, Future[Any]]) -> None:
        with contextlib.suppress(OSError), line.makefile() as lines:
            for text in lines:
                self._hear(json.loads(text), answers)
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(Failed("Gone", self.log(), passing=False))

    def _hear(self, said: dict[str, Any], answers: dict[int, Future[Any]]) -> None:
        if "found" in said:
            self.found += said["found"]
        elif "progress" in said:
            self.progress.setdefault(said["session"], []).append((time.monotonic(), said["progress"]))
        elif "error" in said:
            answers[said["seq"]].set_exception(Failed(said["error"], said["message"], said["passing"]))
        else:
            answers[said["seq"]].set_result(said["result"])


def new_session(cloud: str = CLOUD) -> str:
    """An id that nobody else has."""
    return secrets.token_hex(5) + cloud
