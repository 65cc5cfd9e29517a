"""The limit of script sessions: a loop of ``Popen`` with the same files, and one of killpg, wait and rmtree."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from time import time

INFO = {"hostname": "host.test", "port": 40000, "sessions": 1, "session": "s" * 20, "cloud": "c" * 10}
ENV = {"PATH": os.environ["PATH"], "PYCLOUD_SESSION": "s" * 20, "PYCLOUD_CLOUD": "c" * 10, "PYCLOUD_PORT": "40000"}


class Bare:
    """One process with what a session has on its host: a directory with script and information, a journal, a log."""

    def __init__(self, root: Path, script: str = "exec sleep 3600") -> None:
        self.home = root / secrets.token_hex(10)
        self.home.mkdir(mode=0o700)
        (self.home / "journal").write_text(json.dumps({"starting": time(), "port": 40000, "record": INFO}) + "\n")
        (self.home / "pycloud.init").write_text(script)
        (self.home / "pycloud.json").write_text(json.dumps(INFO, indent=1))
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", str(self.home / "pycloud.init")],
                cwd=self.home,
                env=ENV,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self) -> None:
        """Nothing of it is left."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.home)
