"""The smallest cloud that keeps its word to a lone requester: claims, starts, records, answers, and nothing else.

``python -m bench.trial URL FOLDER``. It watches nothing, removes nothing, survives nothing, and is alone.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
from pathlib import Path
from time import time

import redis

from bench.bare import Bare

NAMESPACE = "bench.trial"


def main(url: str, folder: str) -> None:
    """Carry out every create on ``bench.trial.create`` until it is killed; its processes go on."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    client = redis.Redis.from_url(url, protocol=2)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    pubsub.subscribe(f"{NAMESPACE}.create")
    for message in pubsub.listen():
        request = json.loads(message["data"])
        key, token = f"{NAMESPACE}:{request['id']}", secrets.token_hex(8)
        if not client.set(key, token, nx=True, px=5000):
            continue
        started = start(Path(folder), request["script"])
        answer = json.dumps({"id": started.home.name, "host": "here", "port": 4000, "pid": started.process.pid})
        with client.pipeline() as together:
            together.set(key, answer, ex=600)
            together.hset(f"{key}:session", mapping={"state": "running", "port": 4000, "created": time()})
            together.publish(f"{NAMESPACE}.create.{request['id']}", answer)
            together.execute()


def start(folder: Path, script: str) -> Bare:
    """A process that nobody waits for. Python is told so: it would ask about each such process at every later start."""
    started = Bare(folder, script)
    started.process.returncode = 0
    return started


if __name__ == "__main__":
    main(*sys.argv[1:])
