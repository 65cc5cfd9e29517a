"""Whole nodes: idle, started and started again, several on one machine, and one with ten thousand sessions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from time import perf_counter, sleep, time

import msgspec

from bench import scripts
from bench.environment import Environment
from bench.load import LoadGenerator, RawConnection, create_request, session_request
from bench.measure import Reading, Target, cpu_percent, cpu_seconds, duration, interleaved_medians, memory_mb
from bench.simulated_nodes import idle_heartbeat
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import encode
from tests.support.daemon import Daemon
from tests.support.decode import decode_request

KEYS = Keys()
SESSIONS = 1000
MANY_SESSIONS = 10_000
IMPORTS = "import gevent, redis"
IDLE_CPU = Target(most=0.2, absolute=True)
SESSION_MEMORY = Target(most=16.0, absolute=True)
NODES = 3
#: The id of a simulated node whose heartbeats have the lowest load, so that it is chosen for each create.
CHOSEN_NODE = "f" * 10
#: The creates that the bystander receives: BURST at once, BURSTS times a second.
BURST, BURSTS = 64, 16
#: The limit of a node with MANY_SESSIONS, as the table prints it.
FEW_SESSIONS = "the same with 100"
MANY_LATENCY, MANY_RATE = Target(most=1.5), Target(least=1 / 1.5)


def idle(environment: Environment) -> Iterator[Reading]:
    """CPU and memory of daemon and keeper together while no request is sent."""
    with environment.node() as daemon:
        environment.remove_sessions(environment.create_sessions(64))
        title = "idle, no sessions, CPU of daemon and keeper"
        yield Reading(title, node_cpu_percent(environment, daemon), "%", IDLE_CPU)
        before = node_memory_mb(daemon)
        count = environment.scale_count(SESSIONS)
        environment.create_sessions(count)
        sleep(1.0)
        per_session = (node_memory_mb(daemon) - before) * 1024 / count
        title = f"idle, {count:,} sessions, CPU of both"
        yield Reading(title, node_cpu_percent(environment, daemon), "%", IDLE_CPU)
        yield Reading("memory of both, per session", per_session, "KB", SESSION_MEMORY)


def node_cpu_percent(environment: Environment, daemon: Daemon) -> float:
    """The share of one core (%) that daemon and keeper use, over some seconds."""
    seconds = environment.scale_count(100) / 10
    before = cpu_seconds(daemon.keeper_pid)
    daemon_percent = cpu_percent(daemon.pid, seconds)
    return daemon_percent + (cpu_seconds(daemon.keeper_pid) - before) / seconds * 100


def node_memory_mb(daemon: Daemon) -> float:
    """Resident memory of daemon and keeper, in MB."""
    return memory_mb(daemon.pid) + memory_mb(daemon.keeper_pid)


def restart(environment: Environment) -> Iterator[Reading]:
    """kill -9 and a new start, until a status of each session is answered."""
    with environment.node() as daemon:
        sessions = environment.create_sessions(environment.scale_count(SESSIONS))
        rounds = environment.scale_rounds(5)
        took = median(restart_seconds(daemon, environment.load, sessions) for _ in range(rounds))
        title = f"restart with {len(sessions):,} sessions, until all answer"
        yield Reading(title, took, "s", Target(most=1.0, absolute=True))


def restart_seconds(daemon: Daemon, load: LoadGenerator, sessions: list[str]) -> float:
    """Kill the daemon; seconds from its new start until a status of each of ``sessions`` is answered."""
    daemon.kill()
    began = perf_counter()
    daemon.launch()
    load.run_until_answered("status", session_request(sessions[0]))
    load.run("status", map(session_request, sessions), 256)
    return perf_counter() - began


def start(environment: Environment) -> Iterator[Reading]:
    """The start of a node without data until it takes requests, its keeper included, beside its largest imports."""
    sizes: list[float] = []

    def node_seconds() -> float:
        daemon = environment.new_daemon()
        try:
            found = duration(lambda: launch_until_ready(daemon))
            sizes.append(memory_mb(daemon.pid))
        finally:
            daemon.end()
        return found

    def import_seconds() -> float:
        return duration(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True))

    took, limit = interleaved_medians(environment.scale_rounds(15), node_seconds, import_seconds)
    yield Reading("start, until ready", took, "s", Target(most=2.0), limit, f'python3 -c "{IMPORTS}"')
    yield Reading("memory of the daemon, then", median(sizes), "MB", Target(most=60.0, absolute=True))


def launch_until_ready(daemon: Daemon) -> None:
    """Start the daemon and wait until it logs that it is ready."""
    daemon.launch()
    while " ready: " not in daemon.log():
        assert daemon.running, daemon.log()
        sleep(0.002)


def three_nodes(environment: Environment) -> Iterator[Reading]:
    """The rate of creates over three nodes beside one node, and how evenly the three share them."""
    with Environment(quick=environment.quick, root=environment.root) as alone, alone.node(), ExitStack() as stack:
        for _ in range(NODES):
            stack.enter_context(environment.node())
        count, created_by = environment.scale_count(500), Counter[str]()
        scripts.create_remove_rates(alone.load, 64)
        scripts.create_remove_rates(environment.load, 64)
        rate, limit = interleaved_medians(
            environment.scale_rounds(9),
            lambda: counted_create_rate(environment.load, count, created_by),
            lambda: scripts.create_remove_rates(alone.load, count)[0],
        )
        yield Reading("create over 3 clouds, 64 outstanding, rate", rate, "/s", Target(least=0.9), limit, "one cloud")
        balance = max(created_by.values()) / (created_by.total() / NODES)
        yield Reading("create over 3 clouds, balance (most / mean)", balance, "x", Target(most=1.05, absolute=True))


def counted_create_rate(load: LoadGenerator, count: int, created_by: Counter[str]) -> float:
    """Creates per second; adds the number of sessions of each node to ``created_by``."""
    created = load.run("create", [create_request()] * count, scripts.OUTSTANDING)
    responses = created.decoded()
    created_by.update(response["cloud"] for response in responses)
    load.run("remove", [session_request(response["id"]) for response in responses], scripts.OUTSTANDING)
    return created.rate


def bystander(environment: Environment) -> Iterator[Reading]:
    """CPU of a create for the second candidate: it receives and keeps the create, and finds it claimed by the first."""
    with environment.node() as daemon, RawConnection(environment.redis.port, silent=True) as connection:
        seconds = environment.scale_count(100) / 10
        publish_heartbeat(connection)
        sleep(1.5)  # the node has received that heartbeat
        before = cpu_seconds(daemon.pid)
        publish_claimed_creates(connection, seconds, bursts=0)
        idle_cpu = cpu_seconds(daemon.pid) - before
        before = cpu_seconds(daemon.pid)
        creates = publish_claimed_creates(connection, seconds, bursts=BURSTS)
        cost = (cpu_seconds(daemon.pid) - before - idle_cpu) / creates * 1e6
        assert not daemon.sessions(), "it was not to take any"
    limit = decoding_cost()
    title = "a create that another cloud takes, CPU"
    yield Reading(title, cost, "µs", Target(most=3.0), limit, "decoding the payload")
    yield Reading(title, cost, "µs", Target(most=50.0, absolute=True))


def publish_heartbeat(connection: RawConnection) -> None:
    """Publish and store a heartbeat of CHOSEN_NODE."""
    heartbeat = idle_heartbeat(CHOSEN_NODE)
    connection.send(
        ("SET", KEYS.node_key(CHOSEN_NODE), encode(heartbeat), "PX", 3000),
        ("ZADD", KEYS.nodes_key, time(), CHOSEN_NODE),
        ("PUBLISH", KEYS.heartbeat_channel, encode(heartbeat)),
    )


def publish_claimed_creates(connection: RawConnection, seconds: float, bursts: int) -> int:
    """Publish ``bursts`` bursts of creates per second, each of them claimed already, for ``seconds``; their number.

    Heartbeats of CHOSEN_NODE are published all the time, also where ``bursts`` is 0.
    """
    began, number, turn, turns = perf_counter(), 0, 0, max(bursts, 4)
    while (now := perf_counter() - began) < seconds:
        if turn % (turns // 4) == 0:
            publish_heartbeat(connection)
        if bursts:
            ids = [f"by{began:.3f}-{number + each}" for each in range(BURST)]
            claims = [("HSET", KEYS.request_key("create", id_), "token", "t", "digest", "d") for id_ in ids]
            expiries = [("PEXPIRE", KEYS.request_key("create", id_), 20_000) for id_ in ids]
            creates = [("PUBLISH", KEYS.request_channel("create"), create_payload(id_)) for id_ in ids]
            connection.send(*claims, *expiries, *creates)
            number += BURST
        turn += 1
        sleep(max(0.0, turn / turns - now))
    sleep(1.0)  # the node checks the claims of all creates that it keeps within that time
    return number


def create_payload(id_: str) -> bytes:
    """The published payload of a create."""
    return b'{"id":%b,%b}' % (msgspec.json.encode(id_), create_request())


def decoding_cost() -> float:
    """µs to decode the payload of a create, the least of 200 means of 100."""
    best, payload = float("inf"), create_payload("bystander-1")
    assert json.loads(payload)["script"]
    for _ in range(200):
        began = perf_counter()
        for _ in range(100):
            decode_request("create", payload, 1 << 20)
        best = min(best, perf_counter() - began)
    return best / 100 * 1e6


def ten_thousand(environment: Environment) -> Iterator[Reading]:
    """Latencies, rates, idle CPU, memory and restart of a node with MANY_SESSIONS, beside itself with 100."""
    with environment.node() as daemon:
        few = environment.create_sessions(100)
        limits = latencies_and_rates(environment, few)
        before, count = node_memory_mb(daemon), environment.scale_count(MANY_SESSIONS)
        sessions = few + environment.create_sessions(count - len(few))
        per_session = (node_memory_mb(daemon) - before) * 1024 / (count - len(few))
        for name, (value, unit) in latencies_and_rates(environment, sessions).items():
            target = MANY_RATE if unit == "/s" else MANY_LATENCY
            yield Reading(f"{count:,} sessions: {name}", value, unit, target, limits[name][0], FEW_SESSIONS)
        yield Reading(f"{count:,} sessions: idle CPU", node_cpu_percent(environment, daemon), "%", IDLE_CPU)
        yield Reading(f"{count:,} sessions: memory of each", per_session, "KB", SESSION_MEMORY)
        took = restart_seconds(daemon, environment.load, sessions)
        yield Reading(f"{count:,} sessions: restart, until all answer", took, "s", Target())


def latencies_and_rates(environment: Environment, sessions: list[str]) -> dict[str, tuple[float, str]]:
    """Latencies and rates of status, create and remove by name, each with its unit."""
    load, scale = environment.load, environment.scale_count
    rounds, session = range(environment.scale_rounds(7)), sessions[-1]
    rates = [scripts.create_remove_rates(load, scale(500)) for _ in rounds]
    return {
        "status, p50": (median(scripts.status_p50(load, session, scale(300)) for _ in rounds), "ms"),
        "status, rate": (median(scripts.status_rate(load, session, scale(10_000)) for _ in rounds), "/s"),
        "create, p50": (median(scripts.create_p50(load, scale(100)) for _ in rounds), "ms"),
        "create, rate": (median(created for created, _removed in rates), "/s"),
        "remove, rate": (median(removed for _created, removed in rates), "/s"),
    }
