"""The script runtime in a patched process, on a real keeper or on one that talks nonsense: what its callers get."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pycloud.keeper.ipc import protocol
from pycloud.runtimes.script.runtime import inherited_environment
from tests.support.daemon import ROOT
from tests.support.keeper import keeper, new_session
from tests.support.requirements import mount

#: Does what its standard input says, a list of method, arguments; prints a list of what came of each.
PROBE = """
from gevent import monkey
monkey.patch_all(subprocess=False, os=False, signal=False)
import json, sys
from pathlib import Path
from pycloud.config import Config
from pycloud.errors import RequestError
from pycloud.runtimes import SessionSpec
from pycloud.runtimes.script.runtime import ScriptRuntime

data, settings, steps = Path(sys.argv[1]), json.loads(sys.argv[2]), json.load(sys.stdin)
settings["port_range"] = tuple(settings["port_range"]) if "port_range" in settings else None
runtime = ScriptRuntime(Config(data_dir=data, run_dir=data, hostname="h", **settings), "c0ffee0000", 1024)
runtime.connect()
said = []
for name, *arguments in steps:
    if name == "start":
        arguments = [SessionSpec(arguments[0], arguments[1], {}, 1, {"k": arguments[0]})]
    try:
        result = getattr(runtime, name)(*arguments)
        said.append(len(result) if name == "recover" else str(result))
    except RequestError as error:
        said.append([type(error).__name__, error.code, error.retryable, error.message])
runtime.disconnect()
print(json.dumps(said))
"""


def probe(data: Path, *steps: list[object], environ: dict[str, str] | None = None, **settings: object) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(data), json.dumps(settings)],
        input=json.dumps(steps),
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: list[object] = json.loads(done.stdout)
    return said


def test_what_fails_for_now_and_what_fails_for_good(tmp_path: Path) -> None:
    with keeper(tmp_path / "data") as k, socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        start: list[object] = ["start", new_session(), "exit 0"]
        ((kind, code, passing, message),) = probe(k.data, start, port_range=(port, port))  # type: ignore[misc]
        assert (kind, code, passing) == ("StartFailed", "start_failed", True)
        assert "none of the ports" in message
        bad: list[object] = ["start", new_session(), "#!/no/such/program"]
        ((kind, code, passing, message),) = probe(k.data, bad)  # type: ignore[misc]
        assert (kind, code, passing) == ("StartFailed", "start_failed", False)
        ((kind, _, passing, message),) = probe(k.data, start, run_as="no-such-user")  # type: ignore[misc]
        assert (kind, passing) == ("StartFailed", False)
        assert message == "cannot run as 'no-such-user': this host has no such user"
        assert k.traces() == []


def test_an_environment_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    daemon = {"TZ": "\udcff", "LANG": "ä", "LC_ALL": "C"}
    assert inherited_environment(daemon, ()) == {**inherited_environment({}, ()), **_without_tz(daemon)}
    with keeper(tmp_path / "data") as k:
        steps: list[list[object]] = [["start", new_session(), "exit 0"], ["recover"]]
        started, found = probe(k.data, *steps, environ={"TZ": os.fsdecode(b"\xff\xfe")})
        assert str(started).startswith("Started")
        assert found == 1


def _without_tz(daemon: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in daemon.items() if name != "TZ"}


@pytest.mark.usefixtures("root")
def test_what_cannot_be_removed_is_said_with_its_reason(tmp_path: Path) -> None:
    with keeper(tmp_path / "data") as k:
        with k.client() as c:
            session = c.start("exec sleep 1000\n")
        mounted = k.data / "work" / session / "mounted"
        mounted.mkdir()
        mount(mounted, "2m")
        try:
            ((kind, code, passing, message),) = probe(k.data, ["stop", session, 1.0, {}])  # type: ignore[misc]
        finally:
            for line in Path("/proc/mounts").read_text().splitlines():
                if str(k.data) in line:  # the keeper may have moved it up on its way
                    subprocess.run(["umount", line.split()[1]], check=True)
        assert (kind, code, passing) == ("RemoveFailed", "remove_failed", True)
        assert "busy" in message
        assert probe(k.data, ["stop", session, 1.0, {}], ["forget", session]) == ["True", "None"]
        assert k.traces(session) == []


class Babbler(threading.Thread):
    """A keeper that answers the first request of its first connection with ``nonsense``, and then makes sense."""

    def __init__(self, data: Path, nonsense: bytes) -> None:
        super().__init__(daemon=True)
        self._data, self._nonsense = data, nonsense
        self._listener = protocol.bind(data / protocol.SOCKET)

    def run(self) -> None:
        with self._listener:
            for spoil in (True, False):
                peer, _ = self._listener.accept()
                with peer, contextlib.suppress(ConnectionError):  # the daemon hangs up when it has heard enough
                    self._serve(peer, spoil)

    def _serve(self, peer: socket.socket, spoil: bool) -> None:
        lines = protocol.LineSplitter()
        while data := peer.recv(1 << 16):
            for line in lines.feed(data):
                asked = protocol.decode(line)
                if asked["op"] == protocol.HELLO:
                    data_dir = protocol.file_id(self._data)
                    peer.sendall(protocol.encode({"seq": 0, "version": 1, "pid": 1, "data": data_dir}))
                elif spoil:
                    peer.sendall(self._nonsense)
                else:
                    peer.sendall(protocol.encode({"seq": asked["seq"], "found": True, "sessions": []}))


@pytest.mark.parametrize("nonsense", [b"{{{\n", b"[]\n", b'"\xff"\n', b'{"event": "ended"}\n'])
def test_a_line_that_makes_no_sense_costs_nothing_but_the_line(tmp_path: Path, nonsense: bytes) -> None:
    babbler = Babbler(tmp_path, nonsense)
    babbler.start()
    assert probe(tmp_path, ["stop", new_session(), 1.0, {}]) == ["True"]
    babbler.join(20)


def test_lone_surrogates_pass(tmp_path: Path) -> None:
    with keeper(tmp_path / "data") as k:
        with k.client() as c:
            c.start("exit 0\n", record={"odd": "\ud800"})
        assert probe(k.data, ["recover"]) == [1]
