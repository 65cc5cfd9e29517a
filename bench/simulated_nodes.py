"""One real node and one real Redis beside simulated nodes: the CPU of both, and the latency of the node's requests.

The cost of one heartbeat, one delivery and one create follows from that, and from these how many nodes one Redis
carries (docs/scaling.md).

``python -m bench.simulated_nodes PORT NODES LISTENERS CREATES`` runs the simulation until it is killed. For each create
it writes to Redis what real nodes write: a claim, a response with a record, and the checks of the claim by the next
seven nodes.
"""

from __future__ import annotations

import re
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from time import monotonic, perf_counter, sleep, time
from typing import Any, cast

import redis

from bench.environment import Environment
from bench.load import LoadGenerator, RawConnection, create_request, session_request
from bench.measure import Reading, Target, cpu_seconds, duration
from pycloud.cluster.placement import Peer, candidates
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import CreateResponse, Event, Heartbeat, encode
from pycloud.protocol.requests import CreateRequest
from pycloud.protocol.session import Session
from pycloud.store.requests import Claim, RequestStore
from pycloud.transport.pipeline import LuaScript, RedisArgument, RedisPipeline
from tests.support.daemon import Daemon
from tests.support.plain_pipeline import PlainPipeline

KEYS = Keys()
#: How many nodes check after a while whether a create was claimed.
CLAIM_CHECKS = 7
#: Into how many steps the simulation divides a second.
STEPS_PER_SECOND = 50
#: The share of one core that Redis may use before latencies of its clients rise noticeably.
MAX_REDIS_CPU = 0.7


class ShaPipeline(PlainPipeline):
    """Calls scripts by their SHA, as the pipeline of a node does."""

    def eval_script(
        self, script: LuaScript, keys: Sequence[str], args: Sequence[RedisArgument], *, deadline: float = float("inf")
    ) -> Any:
        try:
            return self.execute("EVALSHA", script.sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return super().eval_script(script, keys, args, deadline=deadline)


class Listeners:
    """``count`` connections with the subscriptions of a node; received messages are dropped."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._buffer = bytearray(1 << 20)
        channels = [KEYS.heartbeat_channel, *(KEYS.request_channel(op) for op in ("create", "status", "remove"))]
        subscribe = "SUBSCRIBE " + " ".join(channels) + "\r\n"
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(subscribe.encode())
            self._selector.register(connection, selectors.EVENT_READ, connection)

    def receive(self, until: float) -> None:
        """Receive until ``until`` (perf_counter seconds), at least once."""
        while True:
            for key, _mask in self._selector.select(max(0.0, until - perf_counter())):
                key.data.recv_into(self._buffer)
            if perf_counter() >= until:
                return


def idle_heartbeat(node: str) -> Heartbeat:
    """The heartbeat of a node with a lower load than each real one."""
    return Heartbeat(node, -1e6, time(), 0, "bench", "2.0.0", "elsewhere", "script", 1.0, ("script",), sent=monotonic())


class SimulatedNodes:
    """``nodes`` heartbeats per second, and ``creates`` per second that the first of the nodes carries out."""

    def __init__(self, port: int, nodes: int, creates: int) -> None:
        self._connection = RawConnection(port, silent=True)
        client = redis.Redis(port=port, protocol=2)
        self._nodes = [f"{number:010x}" for number in range(nodes)]
        self._creates = creates
        self._requests = RequestStore(cast(RedisPipeline, ShaPipeline(client)), KEYS, self._nodes[0], 3600.0)
        self._created = 0

    def step(self, number: int) -> None:
        """Send the heartbeats and creates of step ``number``; a second has STEPS_PER_SECOND steps."""
        for node in self._nodes[number % STEPS_PER_SECOND :: STEPS_PER_SECOND]:
            heartbeat = idle_heartbeat(node)
            self._connection.send(
                ("SET", KEYS.node_key(node), encode(heartbeat), "PX", 3000),
                ("ZADD", KEYS.nodes_key, time(), node),
                ("PUBLISH", KEYS.heartbeat_channel, encode(heartbeat)),
            )
        for _ in range(self._creates // STEPS_PER_SECOND):
            self._create()

    def _create(self) -> None:
        self._created += 1
        node, id_ = self._nodes[0], f"chorus-{self._created}-{monotonic()}"
        payload = b'{"id":"%b","script":"exec sleep 3600"}' % id_.encode()
        claim = Claim("create", id_, "d" * 32)
        session = Session(f"{self._created:010x}{node}", id_, claim.digest, claim.token, "elsewhere", time())
        session.mark_running(40_000, time())
        self._requests.claim(claim, payload)
        self._connection.send(("PUBLISH", KEYS.request_channel("create"), payload))
        response = CreateResponse(node, session.id, host="elsewhere", port=40_000, state="running")
        self._requests.commit(claim, response, record=session, event=Event("session.running", node, time()))
        check = ("HMGET", KEYS.request_key("create", id_), "token", "until")
        self._connection.send(*[check] * CLAIM_CHECKS)


def run_simulated_nodes(port: int, nodes: int, listeners: int, creates: int) -> None:
    """Run the simulation until killed; prints ``ready`` when all listeners are connected."""
    simulated, receivers = SimulatedNodes(port, nodes, creates), Listeners(port, listeners)
    print("ready", flush=True)
    began, number = perf_counter(), 0
    while True:
        simulated.step(number)
        number += 1
        until = began + number / STEPS_PER_SECOND
        if listeners:
            receivers.receive(until)
        else:
            sleep(max(0.0, until - perf_counter()))


@dataclass(frozen=True, slots=True)
class Crowd:
    """A simulation: ``nodes`` with one heartbeat per second each, ``listeners`` connections, ``creates`` per second."""

    nodes: int
    listeners: int
    creates: int

    def __str__(self) -> str:
        return f"crowd of {self.nodes:,} clouds, {self.listeners:,} listen, {self.creates} creates/s"


@dataclass(frozen=True, slots=True)
class Usage:
    """Shares of one core used by Redis and the daemon; messages ``published`` and sessions ``created`` per second."""

    redis: float
    daemon: float
    published: float
    created: float


CROWDS = (Crowd(10, 10, 100), Crowd(100, 100, 100), Crowd(1000, 0, 100))
#: Each adds one cost only: heartbeats, their delivery to subscribers, creates.
HEARTBEATS, DELIVERIES, CREATES = Crowd(1000, 0, 0), Crowd(200, 200, 0), Crowd(1, 0, 100)


def crowd(environment: Environment) -> Iterator[Reading]:
    """CPU and latencies beside each of CROWDS, then the cost of each operation. Without targets."""
    with environment.node() as daemon:
        (session,) = environment.create_sessions(1)
        for each in CROWDS:
            with simulation(environment.redis.port, each):
                usage = measure_usage(environment, daemon)
                yield Reading(f"{each}: CPU of Redis", usage.redis * 100, "%", Target())
                yield Reading(f"{each}: CPU of the daemon", usage.daemon * 100, "%", Target())
                status_p50 = paced_status_p50(environment.load, session_request(session))
                yield Reading(f"{each}: status, p50", status_p50, "ms", Target())
                yield Reading(f"{each}: create, p50", create_p50_on(environment, daemon), "ms", Target())
        yield from costs(environment, daemon)


def costs(environment: Environment, daemon: Daemon) -> Iterator[Reading]:
    """The cost of each operation, and how many nodes one Redis carries with these costs.

    Operations are counted by Redis, not taken from the simulation: that falls behind its rates on a busy machine.
    """
    idle, usages = measure_usage(environment, daemon), {}
    for each in (HEARTBEATS, DELIVERIES, CREATES):
        with simulation(environment.redis.port, each):
            usages[each] = measure_usage(environment, daemon)
    heartbeat = (usages[HEARTBEATS].redis - idle.redis) / usages[HEARTBEATS].published
    delivered = usages[DELIVERIES].published * DELIVERIES.listeners
    delivery = (usages[DELIVERIES].redis - idle.redis - heartbeat * usages[DELIVERIES].published) / delivered
    create = (usages[CREATES].redis - idle.redis) / (usages[CREATES].created)
    received = (usages[HEARTBEATS].daemon - idle.daemon) / usages[HEARTBEATS].published
    yield Reading("Redis, for a heartbeat", heartbeat * 1e6, "µs", Target())
    yield Reading("Redis, for each cloud that hears a message", delivery * 1e6, "µs", Target())
    yield Reading("Redis, for a create", create * 1e6, "µs", Target())
    yield Reading("a daemon, for a rank that it hears", received * 1e6, "µs", Target())
    yield Reading("a daemon, for each cloud that may take a create", placement_cost(), "µs", Target())
    for creates in (0, 100, 1000):
        title = f"clouds that one Redis carries, with {creates} creates/s"
        yield Reading(title, max_nodes(heartbeat, delivery, create, creates), "clouds", Target())


def max_nodes(heartbeat: float, delivery: float, create: float, creates: int) -> float:
    """The number n of nodes at which Redis uses MAX_REDIS_CPU of its core; costs are in seconds of CPU.

    Each second has n heartbeats and ``creates`` creates, and each of them is delivered to n nodes::

        heartbeat n + delivery n (n + creates) + create creates = MAX_REDIS_CPU
    """
    half = (heartbeat + delivery * creates) / (2 * delivery)
    rest = (MAX_REDIS_CPU - create * creates) / delivery
    return max(0.0, sqrt(half * half + rest) - half) if rest > 0 else 0.0


def placement_cost(nodes: int = 1000) -> float:
    """µs per node to choose the node for a create among ``nodes``, the least of 100 trials."""
    peers = {beat.id: Peer(beat, 0.0) for beat in (idle_heartbeat(f"{number:010x}") for number in range(nodes))}
    request = CreateRequest("r", "exec sleep 3600", runtimes=("script",))
    return min(duration(lambda: candidates(peers, request, 0.5)) for _ in range(100)) / nodes * 1e6


@contextmanager
def simulation(port: int, simulated: Crowd) -> Iterator[None]:
    """Run a simulation in a process of its own; entered when each simulated node has sent a heartbeat."""
    arguments = map(str, (port, simulated.nodes, simulated.listeners, simulated.creates))
    process = subprocess.Popen([sys.executable, "-m", "bench.simulated_nodes", *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        sleep(2.0)
        yield
    finally:
        process.kill()
        process.communicate()


def measure_usage(environment: Environment, daemon: Daemon) -> Usage:
    """The usage over some seconds in which no request is sent to the node."""
    pids = environment.redis.pid, daemon.pid
    with RawConnection(environment.redis.port) as connection:
        counts, began, before = command_counts(connection), perf_counter(), [cpu_seconds(pid) for pid in pids]
        sleep(environment.scale_count(60) / 10)
        took = perf_counter() - began
        redis_cpu, daemon_cpu = ((cpu_seconds(pid) - was) / took for pid, was in zip(pids, before, strict=True))
        published, created = ((now - was) / took for now, was in zip(command_counts(connection), counts, strict=True))
    return Usage(redis_cpu, daemon_cpu, published, created)


def command_counts(connection: RawConnection) -> tuple[int, int]:
    """How many messages were published and sessions created so far: each answered create adds one event to a stream."""
    text = connection.execute(("INFO", "commandstats"))[0].decode()
    found = [re.search(rf"cmdstat_{name}:calls=(\d+)", text) for name in ("publish", "xadd")]
    published, created = (int(each[1]) if each else 0 for each in found)
    return published, created


def create_p50_on(environment: Environment, daemon: Daemon) -> float:
    """The median latency (ms) of creates that name this node, so that no simulated node is chosen."""
    request = create_request() + b',"cloud":"%b"' % daemon.cloud.encode()
    created = environment.load.run("create", [request] * environment.scale_count(100), 1)
    environment.remove_sessions([response["id"] for response in created.decoded()])
    return created.p50


def paced_status_p50(load: LoadGenerator, request: bytes) -> float:
    """The median latency (ms) of 200 statuses with pauses of 2 ms between them."""
    latencies = []
    for _ in range(200):
        latencies.append(load.run("status", [request], 1).latencies[0])
        sleep(0.002)
    return sorted(latencies)[len(latencies) // 2] * 1e3


if __name__ == "__main__":
    run_simulated_nodes(*map(int, sys.argv[1:]))
