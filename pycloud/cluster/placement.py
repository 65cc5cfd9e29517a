"""Which node takes a create, and which answers for an offline node. Pure functions of (peers, now).

Every node receives the same heartbeats and creates in the same order (one Redis publishes them), so that each computes
the same order of nodes by itself, and knows its own position in it. ``membership.py`` holds the peers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from pycloud.config.loader import suggestion
from pycloud.errors import EngineUnavailable, NoCapacity, NoMatch, RequestError, WrongRuntime
from pycloud.protocol.container_spec import MAX_QUOTED_LENGTH, MISSING_RUNTIME
from pycloud.protocol.messages import HEARTBEATS_MISSED, Heartbeat
from pycloud.protocol.requests import CreateRequest

#: Number of nodes that handle one request: one at once, two a little later, the others much later.
MAX_CANDIDATES = 8


@dataclass(slots=True)
class Peer:
    """A node as this one sees it. ``last_seen``: when its last heartbeat was received (this node's monotonic seconds).

    ``runtimes``: the kinds of sessions that it runs; ``available``: those of them that it can start at present.

    ``assigned``: number of creates received that it is expected to take, ever; ``recently_assigned`` of them since its
    last heartbeat. ``count_offset`` aligns that count with its own (``Heartbeat.counted``). The difference is
    ``in_flight``: the creates it had not received yet when it published its heartbeat, and that are not in its score.
    """

    last_heartbeat: Heartbeat
    last_seen: float
    assigned: int = 0
    recently_assigned: int = 0
    count_offset: int = 0
    in_flight: int = 0
    runtimes: tuple[str, ...] = field(init=False)
    available: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.runtimes = self.last_heartbeat.runtimes or (self.last_heartbeat.runtime,)
        self.available = tuple(runtime for runtime in self.runtimes if runtime not in self.last_heartbeat.unavailable)


def score(sessions: int, cpu: float, memory: float, *, per_session: float = 1.0, per_load: float = 1.0) -> float:
    """A node's load for its heartbeat, lower is less: sessions plus the mean of CPU and memory in use (%), weighted."""
    return round(sessions * per_session + per_load * (cpu + memory) / 2, 3)


def update_peer(peer: Peer | None, heartbeat: Heartbeat, now: float) -> Peer:
    """The peer after its heartbeat was received at ``now`` (monotonic seconds).

    Where the counts do not match (it was restarted, or either node missed a message) they are aligned again: no more
    creates can be in flight than were assigned to it since its last heartbeat.
    """
    if peer is None or peer.last_heartbeat.instance != heartbeat.instance:
        return Peer(heartbeat, now, count_offset=-heartbeat.counted)
    ahead = peer.assigned - peer.count_offset - heartbeat.counted
    in_flight = min(max(ahead, 0), peer.recently_assigned)
    count_offset = peer.count_offset + ahead - in_flight
    return Peer(heartbeat, now, peer.assigned, 0, count_offset, in_flight)


def assign(peer: Peer) -> None:
    """Count one more create that this node is expected to take."""
    peer.assigned += 1
    peer.recently_assigned += 1
    peer.in_flight += 1


def is_alive(peer: Peer, now: float) -> bool:
    """Whether its last heartbeat is at most HEARTBEATS_MISSED intervals old, with ``deaf`` not set."""
    return not peer.last_heartbeat.deaf and now - peer.last_seen <= HEARTBEATS_MISSED * peer.last_heartbeat.heartbeat


def load(peer: Peer) -> tuple[float, str]:
    """The sort key of nodes: the score with the creates in flight added, then the id."""
    return peer.last_heartbeat.score + peer.in_flight * peer.last_heartbeat.per_session, peer.last_heartbeat.id


def matches(peer: Peer, request: CreateRequest) -> bool:
    """Whether it has the id and the labels that the request requires."""
    if request.cloud is not None and request.cloud != peer.last_heartbeat.id:
        return False
    labels = peer.last_heartbeat.labels
    return not request.where or all(labels.get(key) == value for key, value in request.where.items())


def matching(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> list[Peer]:
    """The online nodes that match the request, whatever their runtimes and with or without free capacity."""
    living = [peer for peer in peers.values() if is_alive(peer, now)]
    if request.cloud is None and not request.where:
        return living
    return [peer for peer in living if matches(peer, request)]


def runtime_for(eligible: Sequence[Peer], request: CreateRequest) -> str | None:
    """The kind of its session: the request's first runtime that any eligible node has, with or without capacity.

    None where no node has any. All nodes compute the same, so it does not depend on which of them takes the request.
    """
    for runtime in request.runtimes:
        for peer in eligible:
            if runtime in peer.runtimes:
                return runtime
    return None


def has_capacity(peer: Peer) -> bool:
    """Whether it accepts another session: it is neither draining nor full, creates in flight included."""
    heartbeat = peer.last_heartbeat
    return not heartbeat.draining and (
        heartbeat.capacity is None or heartbeat.sessions + peer.in_flight < heartbeat.capacity
    )


def candidates(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> list[str]:
    """Ids of the nodes that may take a create, the least loaded first; at most MAX_CANDIDATES."""
    eligible = matching(peers, request, now)
    runtime = runtime_for(eligible, request)
    return least_loaded([peer for peer in eligible if runtime in peer.available and has_capacity(peer)])


def responders(peers: Mapping[str, Peer], now: float) -> list[str]:
    """Ids of the nodes that may answer what no candidate and no owner can, the least loaded first."""
    return least_loaded([peer for peer in peers.values() if is_alive(peer, now)])


def least_loaded(peers: list[Peer]) -> list[str]:
    """Ids of the MAX_CANDIDATES least loaded of these nodes, the least loaded first."""
    ordered = sorted(peers, key=load) if len(peers) <= MAX_CANDIDATES else nsmallest(MAX_CANDIDATES, peers, key=load)
    return [peer.last_heartbeat.id for peer in ordered]


def rejection_for(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> RequestError:
    """The error to answer where a create has no candidate."""
    eligible = matching(peers, request, now)
    runtime = runtime_for(eligible, request)
    if eligible and runtime is None:
        offered = sorted({each for peer in eligible for each in peer.runtimes})
        wanted = request.runtimes[0][:MAX_QUOTED_LENGTH]
        plugin = f"no eligible node has the runtime {wanted}", "Add it to the setting `runtime` of one"
        problem, advice = MISSING_RUNTIME.get(wanted, plugin)
        end = suggestion(wanted, offered) or "."
        return WrongRuntime(f"{problem}{end} {advice}, or use --runtime {' or '.join(offered)}")
    if eligible and not any(runtime in peer.available for peer in eligible):
        return EngineUnavailable("no container engine of an eligible node responds; start one, or try again later")
    if eligible:
        return NoCapacity("every eligible node is full or draining; add or undrain a node, or try again later")
    criteria = [f"{key}={value}" for key, value in request.where.items()]
    criteria += [f"the id {request.cloud}"] if request.cloud is not None else []
    which = f"no online node has {', '.join(criteria)}" if criteria else "no node is online"
    return NoMatch(f"{which}; `pycloudctl nodes` lists the nodes")
