"""Who takes a create, and who speaks for a cloud that is away. Pure functions of (ranks and when each was heard, now).

Every cloud hears the same ranks and creates in the same order (one Redis publishes them), so that all come to the same
order by themselves, and each knows its own place in it. ``view.py`` keeps what these functions look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from pycloud.errors import EngineUnavailable, NoCapacity, NoMatch, RequestError, WrongRuntime
from pycloud.protocol.messages import HEARTBEATS_MISSED, CreateRequest, Heartbeat

#: How many clouds care for one request: one at once, two a little later, the others much later.
MAX_CANDIDATES = 8


@dataclass(slots=True)
class Peer:
    """A cloud as this one sees it. ``heard``: when its last rank came in, on our own monotonic clock (s).

    ``kinds``: what sessions may be there; ``able``: those of them that it can start at present.

    ``assigned``: how many creates we have seen that it is expected to take, ever; ``recent`` of them since its last
    rank. ``base`` aligns that count with its own (Rank.counted), so that the difference is what it had not seen yet
    when it published its rank: it is on its way there, and no part of its score.
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
    """What a rank says of a cloud's load, lower being less: its sessions and the mean of CPU and memory in use (%)."""
    return round(sessions * per_session + per_load * (cpu + memory) / 2, 3)


def update_peer(peer: Peer | None, heartbeat: Heartbeat, now: float) -> Peer:
    """A cloud as it is seen after its rank came in.

    Where the counts do not fit (it was restarted, or one of us missed something) they are aligned anew: no more can be
    on its way than was assigned to it since its last rank.
    """
    if peer is None or peer.last_heartbeat.instance != heartbeat.instance:
        return Peer(heartbeat, now, count_offset=-heartbeat.counted)
    ahead = peer.assigned - peer.count_offset - heartbeat.counted
    in_flight = min(max(ahead, 0), peer.recently_assigned)
    count_offset = peer.count_offset + ahead - in_flight
    return Peer(heartbeat, now, peer.assigned, 0, count_offset, in_flight)


def assign(peer: Peer) -> None:
    """One more create that this cloud is expected to take."""
    peer.assigned += 1
    peer.recently_assigned += 1
    peer.in_flight += 1


def is_alive(peer: Peer, now: float) -> bool:
    """Whether it was heard lately, and hears what is published itself."""
    return not peer.last_heartbeat.deaf and now - peer.last_seen <= HEARTBEATS_MISSED * peer.last_heartbeat.heartbeat


def load(peer: Peer) -> tuple[float, str]:
    """By what clouds are ordered: the score that it will have, then the id."""
    return peer.last_heartbeat.score + peer.in_flight * peer.last_heartbeat.per_session, peer.last_heartbeat.id


def matches(peer: Peer, request: CreateRequest) -> bool:
    """Whether it is the kind of cloud that the request asks for."""
    if request.cloud is not None and request.cloud != peer.last_heartbeat.id:
        return False
    labels = peer.last_heartbeat.labels
    return not request.where or all(labels.get(key) == value for key, value in request.where.items())


def matching(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> list[Peer]:
    """The living clouds that are what the request asks for, whatever they run and whether or not they have room."""
    living = [peer for peer in peers.values() if is_alive(peer, now)]
    if request.cloud is None and not request.where:
        return living
    return [peer for peer in living if matches(peer, request)]


def runtime_for(eligible: Sequence[Peer], request: CreateRequest) -> str | None:
    """What its session will be: the best kind that any of the fitting clouds runs, whether that one has room or not.

    All clouds come to the same, so that it does not depend on who takes it.
    """
    for runtime in request.runtimes:
        for peer in eligible:
            if runtime in peer.runtimes:
                return runtime
    return None


def has_capacity(peer: Peer) -> bool:
    """Whether it takes anything new."""
    heartbeat = peer.last_heartbeat
    return not heartbeat.draining and (
        heartbeat.capacity is None or heartbeat.sessions + peer.in_flight < heartbeat.capacity
    )


def candidates(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> list[str]:
    """The clouds that may take a create, the least loaded first; no more than are needed."""
    eligible = matching(peers, request, now)
    runtime = runtime_for(eligible, request)
    return least_loaded([peer for peer in eligible if runtime in peer.available and has_capacity(peer)])


def responders(peers: Mapping[str, Peer], now: float) -> list[str]:
    """The clouds that may answer what no candidate and no owner can, in their order."""
    return least_loaded([peer for peer in peers.values() if is_alive(peer, now)])


def least_loaded(peers: list[Peer]) -> list[str]:
    """Those of some clouds that care for a request, the least loaded first."""
    ordered = sorted(peers, key=load) if len(peers) <= MAX_CANDIDATES else nsmallest(MAX_CANDIDATES, peers, key=load)
    return [peer.last_heartbeat.id for peer in ordered]


def rejection_for(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> RequestError:
    """What to answer where there is no candidate."""
    eligible = matching(peers, request, now)
    runtime = runtime_for(eligible, request)
    if eligible and runtime is None:
        offered = sorted({each for peer in eligible for each in peer.runtimes})
        return WrongRuntime(
            f"this is for runtime {request.runtimes[0]}, and the clouds that fit have {', '.join(offered)}"
        )
    if eligible and not any(runtime in peer.available for peer in eligible):
        return EngineUnavailable("the container engine of every cloud that could take this does not answer")
    if eligible:
        return NoCapacity("every cloud that could take this is full or draining")
    criteria = [f"{key}={value}" for key, value in request.where.items()]
    criteria += [f"cloud {request.cloud}"] if request.cloud is not None else []
    return NoMatch(f"no living cloud has {', '.join(criteria) or 'room'}")
