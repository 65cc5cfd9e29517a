"""The bus in a patched process, on a real Redis: what its callers get when connections break."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

from tests.support.daemon import ROOT
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

BEGIN = """
from gevent import monkey
monkey.patch_all(subprocess=False, os=False, signal=False)
import json, sys
from time import monotonic
import gevent, redis
from pycloud.transport.pipeline import DeadlineExceeded, LuaScript, RedisPipeline
from pycloud.transport.connection import OutageLog

url = sys.argv[1]
pipeline = RedisPipeline(url, OutageLog())
told = []
"""

#: A new server is told five things; the connection is cut after the second, the first time.
TELLING = """
admin = redis.Redis.from_url(url)
def tell():
    told.append("begin")
    for number in range(5):
        pipeline.execute("RPUSH", "told", number)
        if number == 1 and told == ["begin"]:
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    told.append("end")
pipeline.on_server_changed = tell
pipeline.start()
pipeline.execute("RPUSH", "told", "ordinary")
print(json.dumps([told, [item.decode() for item in pipeline.execute("LRANGE", "told", 0, -1)]]))
pipeline.stop()
"""

#: Says that it waits for a call that may not be sent any more by then, and what came of it and of the next.
LATE = """
pipeline.start()
pipeline.execute("PING")
print("connected", flush=True)
sys.stdin.readline()
script = LuaScript("return 'carried out'")
try:
    late = pipeline.eval_script(script, [], [], deadline=monotonic() + 0.3).decode()
except DeadlineExceeded:
    late = "too late"
timely = [pipeline.eval_script(script, [], [], deadline=at) for at in (float("inf"), monotonic() + 60)]
print(json.dumps([late, *(each.decode() for each in timely)]))
pipeline.stop()
"""

#: More than a socket takes at once, in one command and in many.
LARGE = """
pipeline.start()
large = b"x" * (20 << 20)
pipeline.execute("SET", "large", large)
whole = pipeline.execute("GET", "large") == large
many = pipeline.execute_many([("SET", f"many:{number}", b"y" * 50_000) for number in range(400)])
print(json.dumps([whole, len(many), pipeline.execute("STRLEN", "many:399")]))
pipeline.stop()
"""


def run(program: str, server: RedisServer) -> subprocess.Popen[str]:
    """A patched process that runs ``program`` on ``server``."""
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + program, server.url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> Any:
    """What it says at its end."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def test_a_new_server_is_told_everything_before_others_are_served(own_redis: RedisServer) -> None:
    told, order = said(run(TELLING, own_redis))
    assert told == ["begin", "begin", "end"]
    assert order[-6:] == ["0", "1", "2", "3", "4", "ordinary"]


def test_a_call_that_cannot_be_sent_in_time_is_not_sent(own_redis: RedisServer) -> None:
    process = run(LATE, own_redis)
    assert process.stdout is not None
    assert process.stdin is not None
    wait_until(lambda: process.stdout.readline() == "connected\n")
    own_redis.stop()
    process.stdin.write("go on\n")
    process.stdin.flush()
    back = threading.Timer(1.0, own_redis.start)
    back.start()
    assert said(process) == ["too late", "carried out", "carried out"]
    back.join()


def test_what_is_larger_than_the_socket_takes_arrives_whole(own_redis: RedisServer) -> None:
    assert said(run(LARGE, own_redis)) == [True, 400, 50_000]
