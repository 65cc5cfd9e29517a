"""The daemon's real command line with a stand-in for ``pycloud.daemon`` inside.

The stand-in does what a test asks for in the variable STAND_IN (serve, never become ready, die...), so that tests of
the outer shell need no cloud. With REPORT it writes down what process it was put into.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

import pycloud
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(pycloud.__file__).parent.parent

LAUNCHER = '''
import json, os, stat, sys, types

def describe(nofile):
    """What a daemon should know of the process it was put in."""
    import resource
    def kind(fd):
        return os.readlink(f"/proc/self/fd/{fd}")
    fds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            fds[name] = kind(name)
        except FileNotFoundError:
            pass
    mask = os.umask(0); os.umask(mask)
    return {
        "pid": os.getpid(), "sid": os.getsid(0), "pgid": os.getpgid(0), "ppid": os.getppid(), "cwd": os.getcwd(),
        "umask": mask, "fds": fds, "nofile": nofile, "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
        "before": BEFORE, "patched": patched(),
    }

def patched():
    from gevent import monkey
    names = ("socket", "time", "threading", "subprocess", "os", "signal")
    return {name: bool(monkey.is_module_patched(name)) for name in names}

def run(config, *, nofile, ready):
    import gevent, gevent.event
    from pycloud.errors import RedisUnavailable
    what = os.environ.get("STAND_IN", "serve")
    if report := os.environ.get("REPORT"):
        with open(report, "w") as file:
            json.dump(describe(nofile), file)
    if what == "refuse":
        raise RedisUnavailable("Redis says no")
    if what == "crash":
        raise ZeroDivisionError("a bug")
    if what == "die":
        os._exit(9)
    if what == "stubborn":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stopped = gevent.event.Event()
    if what in ("serve", "slow stop"):
        import signal
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, stopped.set)
        ready()
        print("said ready", file=sys.stderr, flush=True)
    while not stopped.wait(60):  # without a timer gevent would say that nothing can ever happen
        pass
    while what == "slow stop" and not os.path.exists(os.environ["GO"]):
        gevent.sleep(0.02)
    return 0

import pycloud.app
BEFORE = sorted(sys.modules)
stand_in = types.ModuleType("pycloud.daemon.daemon")
stand_in.run = run
sys.modules["pycloud.daemon.daemon"] = stand_in
sys.exit(pycloud.app.main())
'''


class CommandLine:
    """Runs the command line with the stand-in, on a data directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.launcher = folder / "launcher.py"
        self.launcher.write_text(LAUNCHER)
        self.report = folder / "report.json"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYCLOUD_", "XDG_"))}
        self.environ = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "PYCLOUD_DATA_DIR": str(self.data),
            "PYCLOUD_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        }

    @property
    def pid_file(self) -> Path:
        return self.data / "run" / "pycloud.pid"

    @property
    def log(self) -> str:
        return (self.data / "pycloud.log").read_text()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.launcher), *arguments]

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environ | environ, capture_output=True, text=True, timeout=60
        )

    def start(self, **environ: str) -> int:
        """Start a daemon; its pid."""
        done = self.run("--daemon", **environ)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        pid = int(self.pid_file.read_text())
        assert done.stdout == f"pycloud is running: pid {pid}, log {self.data / 'pycloud.log'}\n"
        return pid

    def reported(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.report.read_text())
        return found

    @contextlib.contextmanager
    def foreground(self, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            self.command(*arguments), env=self.environ | environ, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                for line in process.stderr:
                    if line == "said ready\n":
                        break
                yield process
            finally:
                process.kill()


@contextlib.contextmanager
def command_line(folder: Path) -> Iterator[CommandLine]:
    """One for the time of a test; whatever daemon is left over is killed."""
    made = CommandLine(folder)
    try:
        yield made
    finally:
        for process in ours(made):
            process.kill()


def ours(cli: CommandLine) -> list[psutil.Process]:
    """What runs of this shell's launcher."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(cli.launcher) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def await_nobody(cli: CommandLine) -> None:
    wait_until(lambda: not ours(cli), message="a daemon is left over")


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
