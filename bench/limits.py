"""The programs that are the limits: the least that does the work of a session, a create, a status and a list.

Three of them run as processes of their own::

    python -m bench.limits smallest-node URL FOLDER
    python -m bench.limits responder URL
    python -m bench.limits reader URL

The reader is timed as a whole process, so this module imports nothing but redis and the standard library.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import time

import redis

SESSION_INFO = {"hostname": "host.test", "port": 40000, "sessions": 1, "session": "s" * 20, "cloud": "c" * 10}
SESSION_ENV = {
    "PATH": os.environ["PATH"],
    "PYCLOUD_SESSION": "s" * 20,
    "PYCLOUD_CLOUD": "c" * 10,
    "PYCLOUD_PORT": "40000",
}
#: Channels and keys of the two programs that answer requests begin with these.
TRIAL_NAMESPACE = "bench.trial"
RESPONDER_NAMESPACE = "bench.responder"
#: Keys of the real nodes' records begin with this.
KEY_PREFIX = "{year4000.pycloud}:"


class BareProcess:
    """The limit of a script session: one ``Popen`` with the files of a session.

    These are a directory with the script and its information, a journal and a log.
    """

    def __init__(self, root: Path, script: str = "exec sleep 3600") -> None:
        self.home = root / secrets.token_hex(10)
        self.home.mkdir(mode=0o700)
        journal = {"starting": time(), "port": 40000, "record": SESSION_INFO}
        (self.home / "journal").write_text(json.dumps(journal) + "\n")
        (self.home / "pycloud.init").write_text(script)
        (self.home / "pycloud.json").write_text(json.dumps(SESSION_INFO, indent=1))
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", str(self.home / "pycloud.init")],
                cwd=self.home,
                env=SESSION_ENV,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def terminate(self) -> None:
        """The limit of a remove: killpg, wait, rmtree."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.home)


def run_smallest_node(url: str, folder: str) -> None:
    """The limit of a create: claim, start, record and answer every create on ``bench.trial.create``, until killed.

    The smallest node whose creates are correct for a single requester. It supervises no session, removes none, recovers
    none, and has no other node beside it. Its sessions outlive it.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the sessions
    client = redis.Redis.from_url(url, protocol=2)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    pubsub.subscribe(f"{TRIAL_NAMESPACE}.create")
    for message in pubsub.listen():
        request = json.loads(message["data"])
        key, token = f"{TRIAL_NAMESPACE}:{request['id']}", secrets.token_hex(8)
        if not client.set(key, token, nx=True, px=5000):
            continue
        started = start_unwaited(Path(folder), request["script"])
        response = json.dumps({"id": started.home.name, "host": "here", "port": 4000, "pid": started.process.pid})
        with client.pipeline() as pipeline:
            pipeline.set(key, response, ex=600)
            pipeline.hset(f"{key}:session", mapping={"state": "running", "port": 4000, "created": time()})
            pipeline.publish(f"{TRIAL_NAMESPACE}.create.{request['id']}", response)
            pipeline.execute()


def start_unwaited(folder: Path, script: str) -> BareProcess:
    """Start a process that is never waited for.

    Its return code is set, or ``subprocess`` would poll each such process at every later start.
    """
    started = BareProcess(folder, script)
    started.process.returncode = 0
    return started


def run_responder(url: str) -> None:
    """The limit of a status: answer every request on ``bench.responder.status``, until killed.

    The smallest blocking responder that redis-py makes.
    """
    client = redis.Redis.from_url(url, protocol=2)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    pubsub.subscribe(f"{RESPONDER_NAMESPACE}.status")
    for message in pubsub.listen():
        request = json.loads(message["data"])
        response = {"cloud": "c" * 10, "id": request["session"], "status": True, "state": "running"}
        client.publish(f"{RESPONDER_NAMESPACE}.status.{request['id']}", json.dumps(response))


def read_sessions(url: str) -> None:
    """The limit of a list: read the records of all sessions with redis-py in one pipeline, and drop them."""
    client = redis.Redis.from_url(url, protocol=2, decode_responses=True)
    pipeline = client.pipeline(transaction=False)
    for session in client.zrange(f"{KEY_PREFIX}sessions", 0, -1):
        pipeline.hgetall(KEY_PREFIX + "session:" + str(session))
    assert all(pipeline.execute())


PROGRAMS: dict[str, Callable[..., None]] = {
    "smallest-node": run_smallest_node,
    "responder": run_responder,
    "reader": read_sessions,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
