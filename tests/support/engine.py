"""A real container engine for tests: a ``dockerd`` of their own, with its own data, bridge and containerd.

Several may run side by side, next to the machine's own: it has a bridge of its own, and one rule in the firewall that
goes with it (its ports are served by its proxy program). Nothing of it is left when it has ended. Looked at through the
command ``docker``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from tests.support.waiting import wait_until

BUSYBOX = Path("/bin/busybox")
#: What must be there; all of it is in Debian's docker.io and busybox-static.
PROGRAMS = ("dockerd", "docker", "containerd", "runc")
APPLETS = "sh sleep cat echo httpd nc dd tail env true kill touch head yes id".split()  # noqa: SIM905


def missing() -> str | None:
    """Why no engine can be started here; None: one can."""
    if os.geteuid() != 0:
        return "only root can start a container engine"
    gone = [name for name in PROGRAMS if not shutil.which(name)] + ([] if BUSYBOX.exists() else ["busybox-static"])
    return f"not installed here: {', '.join(gone)}" if gone else None


class Engine:
    """One engine. ``flags`` are more of dockerd's. ``host`` is what ``docker -H`` takes.

    ::

        with Engine() as engine:
            engine.image("web", ["httpd", "-f", "-p", "80"])
    """

    def __init__(self, *flags: str) -> None:
        # Not below pytest's directory: the path of a socket may have 107 characters.
        self.home = Path(tempfile.mkdtemp(prefix="pycloud-engine-"))
        self.flags = flags
        self.bridge = "pct" + secrets.token_hex(4)
        self.socket = self.home / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.log = self.home / "log"
        self.process: subprocess.Popen[bytes] | None = None
        #: Whether its containers go on while it is stopped.
        self.live_restore = False

    def __enter__(self) -> Self:
        try:
            self._make_bridge()
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_error: object) -> None:
        self.end()

    @property
    def command(self) -> list[str]:
        """Its command line."""
        own = [
            *("--data-root", str(self.home / "root"), "--exec-root", str(self.home / "exec")),
            *("--pidfile", str(self.home / "pid"), "--host", self.host, "--bridge", self.bridge),
            *("--iptables=false", "--ip-forward=false", "--ip-masq=false", "--shutdown-timeout", "1"),
            # Where the machine has a containerd of its own, that one is used: it must not show us to others.
            *("--containerd-namespace", self.bridge, "--containerd-plugins-namespace", self.bridge + ".plugins"),
            *("--max-download-attempts", "1", "--config-file", str(self.home / "no-such-file")),
        ]
        return ["dockerd", *own, *(["--live-restore"] if self.live_restore else []), *self.flags]

    def launch(self) -> Self:
        """Start it, and do not wait."""
        (self.home / "no-such-file").write_text("{}")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self.launch()
        wait_until(lambda: self.answers() or not self.running, 60, self._newest_log)
        assert self.running, self._newest_log()
        return self

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def answers(self) -> bool:
        """Whether it does what it is asked."""
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(1)
            probe.connect(str(self.socket))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return probe.recv(64).startswith(b"HTTP/1.0 200")
        return False

    def stop(self) -> None:
        """Stop it in order; its containers end, unless it was started with live-restore."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of the engine; containers go on."""
        self._end(signal.SIGKILL)
        # Its containerd dies with it. The next engine would take that one's zombie for a living one.
        wait_until(lambda: not any(each.name() == "containerd" for each in self._left_over()))
        (self.home / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def restart(self, live_restore: bool = False) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.live_restore = live_restore
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: its sockets stay open, nothing is answered."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def docker(self, *arguments: str, data: bytes = b"", check: bool = True, **environ: str) -> str:
        """Run the command ``docker``; what it printed."""
        done = subprocess.run(
            ["docker", "-H", self.host, *arguments],
            input=data,
            capture_output=True,
            env={**os.environ, "DOCKER_CONFIG": str(self.home / "cli"), **environ},
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def image(self, name: str, command: list[str], *changes: str, files: Mapping[str, bytes] | None = None) -> str:
        """Make an image of busybox and ``files`` that runs ``command``; ``changes`` as in ``VOLUME /data``."""
        options = [part for change in (f"CMD {json.dumps(command)}", *changes) for part in ("--change", change)]
        return self.docker("import", *options, "-", name, data=_archive(files or {}))

    def containers(self, label: str = "") -> list[str]:
        """Names of all containers with ``label``, in whatever state."""
        flags = ["--filter", f"label={label}"] if label else []
        return self.docker("ps", "--all", "--format", "{{.Names}}", *flags).split()

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", name))
        return found[0]

    def volumes(self) -> list[str]:
        """Names of all volumes."""
        return self.docker("volume", "ls", "--quiet").split()

    def networks(self) -> list[str]:
        """Names of all networks."""
        return self.docker("network", "ls", "--format", "{{.Name}}").split()

    def clear(self) -> None:
        """Remove all containers and volumes; images stay."""
        if names := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *names, check=False)

    def end(self) -> None:
        """Leave nothing behind: containers, processes, mounts, bridge, files."""
        if self.running:
            self.thaw()
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.clear()
            self._end(signal.SIGKILL)
        for process in self._left_over():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: not self._left_over(), message=lambda: str(self._left_over()))
        for mounted in reversed(Path("/proc/mounts").read_text().splitlines()):
            if str(self.home) in mounted:
                subprocess.run(["umount", "--lazy", mounted.split()[1]], check=False)
        _firewall("--delete", self.bridge)
        _network("link", "del", self.bridge, check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def _left_over(self) -> list[psutil.Process]:
        """Its containerd, the shims of that, and what lives in its containers."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.home) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.update({each.pid: each for each in (process, *process.children(recursive=True))})
        found.pop(os.getpid(), None)
        return [each for each in found.values() if _lives(each)]

    def _send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _end(self, how: int) -> None:
        assert self.process is not None
        self._send(how)
        self._send(signal.SIGCONT)
        self.process.wait(60)

    def _make_bridge(self) -> None:
        """Its containers' network, 10.x.y.0/24, that nobody else has."""
        taken = {a.address.rsplit(".", 1)[0] for addresses in psutil.net_if_addrs().values() for a in addresses}
        subnet = next(s for s in iter(_any_subnet, "") if s not in taken)
        _network("link", "add", "name", self.bridge, "type", "bridge")
        # An address of its own: else it takes another one when a container comes or goes, and those that there are do
        # not reach it until they ask for it again.
        _network("link", "set", self.bridge, "address", "02:" + secrets.token_bytes(5).hex(":"))
        _network("addr", "add", f"{subnet}.1/24", "dev", self.bridge)
        _network("link", "set", self.bridge, "up")
        # Another engine may have closed the way from one container to the next, for all bridges of the machine.
        _firewall("--insert", self.bridge)

    def _newest_log(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else "no log"


def _any_subnet() -> str:
    return f"10.{128 + secrets.randbelow(128)}.{secrets.randbelow(256)}"


def _network(*arguments: str, check: bool = True) -> None:
    subprocess.run([str(BUSYBOX), "ip", *arguments], check=check, capture_output=True)


def _firewall(change: str, bridge: str) -> None:
    rule = [change, "FORWARD", "--in-interface", bridge, "--out-interface", bridge, "--jump", "ACCEPT"]
    if shutil.which("iptables"):
        subprocess.run(["iptables", "--wait", *rule], check=False, capture_output=True)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A file system of busybox and ``files``, as a tar archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        everything = {"bin/busybox": BUSYBOX.read_bytes(), "etc/passwd": b"root:x:0:0::/:/bin/sh\n", **files}
        for name, content in everything.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return made.getvalue()
