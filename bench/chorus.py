"""A crowd of clouds that are not there: their heartbeats, their ears, and what they do about creates.

``python -m bench.chorus PORT CLOUDS EARS CREATES`` goes on until it is killed. What it writes to Redis for each
create is what real clouds write: a claim, an answer with a record, and the looks of the seven that come next.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Sequence
from time import monotonic, perf_counter, sleep, time
from typing import Any, cast

import redis

from bench.line import Line
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import CreateResponse, Event, Heartbeat, encode
from pycloud.protocol.session import Session
from pycloud.store.requests import Claim, RequestStore
from pycloud.transport.pipeline import LuaScript, RedisArgument, RedisPipeline
from tests.support.plain_pipeline import PlainPipeline

NAMES = Keys()
#: How many clouds look, sooner or later, whether a create was claimed.
LOOKS = 7
#: Steps of one second.
STEPS = 50


class Calls(PlainPipeline):
    """As the bus of a cloud: scripts are named, not sent."""

    def run(
        self, script: LuaScript, keys: Sequence[str], args: Sequence[RedisArgument], *, until: float = float("inf")
    ) -> Any:
        try:
            return self.execute("EVALSHA", script.sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return super().eval_script(script, keys, args, deadline=until)


class Ears:
    """Connections that hear what clouds hear, and drop it."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._buffer = bytearray(1 << 20)
        channels = [NAMES.heartbeat_channel, *(NAMES.request_channel(op) for op in ("create", "status", "remove"))]
        subscribe = "SUBSCRIBE " + " ".join(channels) + "\r\n"
        for _ in range(count):
            ear = socket.create_connection(("127.0.0.1", port))
            ear.sendall(subscribe.encode())
            self._selector.register(ear, selectors.EVENT_READ, ear)

    def listen(self, until: float) -> None:
        """Until a moment of perf_counter; asked too late, once all the same."""
        while True:
            for key, _mask in self._selector.select(max(0.0, until - perf_counter())):
                key.data.recv_into(self._buffer)
            if perf_counter() >= until:
                return


def rank_of(cloud: str) -> Heartbeat:
    """What a cloud says that has less to do than every real one."""
    return Heartbeat(
        cloud, -1e6, time(), 0, "bench", "2.0.0", "elsewhere", "script", 1.0, ("script",), sent=monotonic()
    )


class Chorus:
    """``clouds`` hearts that beat once a second, and ``creates`` per second that are carried out by one of them."""

    def __init__(self, port: int, clouds: int, creates: int) -> None:
        self._line = Line(port, silent=True)
        client = redis.Redis(port=port, protocol=2)
        self._clouds = [f"{number:010x}" for number in range(clouds)]
        self._creates = creates
        self._ledger = RequestStore(cast(RedisPipeline, Calls(client)), NAMES, self._clouds[0], 3600.0)
        self._made = 0

    def step(self, number: int) -> None:
        """What is said in the ``number``-th of STEPS parts of a second."""
        for cloud in self._clouds[number % STEPS :: STEPS]:
            rank = rank_of(cloud)
            self._line.send(
                ("SET", NAMES.node_key(cloud), encode(rank), "PX", 3000),
                ("ZADD", NAMES.nodes_key, time(), cloud),
                ("PUBLISH", NAMES.heartbeat_channel, encode(rank)),
            )
        for _ in range(self._creates // STEPS):
            self._create()

    def _create(self) -> None:
        self._made += 1
        cloud, id_ = self._clouds[0], f"chorus-{self._made}-{monotonic()}"
        payload = b'{"id":"%b","script":"exec sleep 3600"}' % id_.encode()
        claim = Claim("create", id_, "d" * 32)
        session = Session(f"{self._made:010x}{cloud}", id_, claim.digest, claim.token, "elsewhere", time())
        session.mark_running(40_000, time())
        self._ledger.claim(claim, payload)
        self._line.send(("PUBLISH", NAMES.request_channel("create"), payload))
        response = CreateResponse(cloud, session.id, host="elsewhere", port=40_000, state="running")
        self._ledger.commit(claim, response, record=session, event=Event("session.running", cloud, time()))
        looks = ("HMGET", NAMES.request_key("create", id_), "token", "until")
        self._line.send(*[looks] * LOOKS)


def main(port: int, clouds: int, ears: int, creates: int) -> None:
    """Sing until killed."""
    chorus, hearing = Chorus(port, clouds, creates), Ears(port, ears)
    print("ready", flush=True)
    began, number = perf_counter(), 0
    while True:
        chorus.step(number)
        number += 1
        until = began + number / STEPS
        if ears:
            hearing.listen(until)
        else:
            sleep(max(0.0, until - perf_counter()))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
