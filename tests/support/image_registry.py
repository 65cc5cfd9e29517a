"""A real registry of images on loopback (Debian's docker-registry), behind a gate that lets so many bytes through."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.engine import Engine
from tests.support.ports import free_port
from tests.support.waiting import wait_until

PROGRAM = "docker-registry"
USER, PASSWORD = "tester", "secret"
#: bcrypt of the password; it costs little, and protects nothing.
HTPASSWD = f"{USER}:$2b$04$/b2F8X7zLNzaH1njAyxTm.8ROOFSvGUzbtwoSXIr2SfYSA5oydVni\n"
CHUNK = 1 << 14


def missing() -> str | None:
    """Why no registry can be started here; None: one can."""
    return None if shutil.which(PROGRAM) else f"not installed here: {PROGRAM}"


class Gate:
    """Carries connections on ``port`` of 127.0.0.1 to ``target``, a port there.

    Of what comes back, only as many bytes as were let through by ``allow`` pass; the rest waits.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._left: float = float("inf")
        self._change = threading.Condition()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def allow(self, count: float) -> None:
        """Let so many more bytes through from now on, and no others."""
        with self._change:
            self._left = count
            self._change.notify_all()

    def open(self) -> None:
        """Let everything through."""
        self.allow(float("inf"))

    def cut(self) -> None:
        """End the connections that there are."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.open()

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for source, sink, gated in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._carry, args=(source, sink, gated), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, gated: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if gated:
                    self._wait_for(len(data))
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        source.close()  # the other one is closed by the other direction

    def _wait_for(self, count: int) -> None:
        with self._change:
            self._change.wait_for(lambda: self._left > 0)
            self._left -= count


class Registry:
    """One registry in ``home``; ``locked``: only for those who log in."""

    def __init__(self, home: Path, locked: bool = False) -> None:
        self.home, self.locked = home, locked
        self._port = free_port()
        self.gate = Gate(self._port)
        self.log_path = home / "registry.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.close()
        self.kill()

    @property
    def address(self) -> str:
        """What stands before its images' names."""
        return f"127.0.0.1:{self.gate.port}"

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        settings: dict[str, object] = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(self.home / "images")}},
            "http": {"addr": f"127.0.0.1:{self._port}"},
        }
        if self.locked:
            (self.home / "htpasswd").write_text(HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(self.home / "htpasswd")}}
        (self.home / "config.yml").write_text(json.dumps(settings))
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", str(self.home / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, 20, self.log)
        return self

    def kill(self) -> None:
        """kill -9; what it holds stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text(errors="replace")

    def fill(self, engine: Engine, name: str, size: int = 0) -> str:
        """Have it hold an image with ``size`` bytes that cannot be compressed, gone from the engine; its full name."""
        image = f"{self.address}/{name}"
        engine.image(image, ["sleep", "1000"], files={"padding": os.urandom(size)})
        engine.docker("push", "--quiet", image, DOCKER_CONFIG=str(self.credentials()))
        engine.docker("rmi", image)
        return image

    def credentials(self, password: str = PASSWORD) -> Path:
        """A directory with the file of somebody who has logged in."""
        place = self.home / f"login-{password}"
        place.mkdir(exist_ok=True)
        login = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (place / "config.json").write_text(json.dumps({"auths": {self.address: {"auth": login}}}))
        return place

    def downloads(self, name: str) -> int:
        """How often a layer of an image (or its settings) was fetched."""
        return self.log().count(f'"GET /v2/{name}/blobs/')

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/v2/", timeout=1):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
