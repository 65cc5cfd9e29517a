"""Who takes a create, and who speaks for a cloud that is away. Pure functions of (ranks and when each was heard, now).

Every cloud hears the same ranks and creates in the same order (one Redis publishes them), so that all come to the same
order by themselves, and each knows its own place in it. ``view.py`` keeps what these functions look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from pycloud.errors import EngineUnavailable, NoCapacity, NoMatch, RequestError, WrongRuntime
from pycloud.protocol.messages import HEARTBEATS_MISSED, CreateRequest, Rank

#: How many clouds care for one request: one at once, two a little later, the others much later.
CARING = 8


@dataclass(slots=True)
class Peer:
    """A cloud as this one sees it. ``heard``: when its last rank came in, on our own monotonic clock (s).

    ``kinds``: what sessions may be there; ``able``: those of them that it can start at present.

    ``assigned``: how many creates we have seen that it is expected to take, ever; ``recent`` of them since its last
    rank. ``base`` aligns that count with its own (Rank.counted), so that the difference is what it had not seen yet
    when it published its rank: it is on its way there, and no part of its score.
    """

    rank: Rank
    heard: float
    assigned: int = 0
    recent: int = 0
    base: int = 0
    expected: int = 0
    kinds: tuple[str, ...] = field(init=False)
    able: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = self.rank.runtimes or (self.rank.runtime,)
        self.able = tuple(kind for kind in self.kinds if kind not in self.rank.unavailable)


def score(sessions: int, cpu: float, memory: float, *, per_session: float = 1.0, per_load: float = 1.0) -> float:
    """What a rank says of a cloud's load, lower being less: its sessions and the mean of CPU and memory in use (%)."""
    return round(sessions * per_session + per_load * (cpu + memory) / 2, 3)


def hear(peer: Peer | None, rank: Rank, now: float) -> Peer:
    """A cloud as it is seen after its rank came in.

    Where the counts do not fit (it was restarted, or one of us missed something) they are aligned anew: no more can be
    on its way than was assigned to it since its last rank.
    """
    if peer is None or peer.rank.instance != rank.instance:
        return Peer(rank, now, base=-rank.counted)
    ahead = peer.assigned - peer.base - rank.counted
    expected = min(max(ahead, 0), peer.recent)
    base = peer.base + ahead - expected
    return Peer(rank, now, peer.assigned, 0, base, expected)


def assign(peer: Peer) -> None:
    """One more create that this cloud is expected to take."""
    peer.assigned += 1
    peer.recent += 1
    peer.expected += 1


def lives(peer: Peer, now: float) -> bool:
    """Whether it was heard lately, and hears what is published itself."""
    return not peer.rank.deaf and now - peer.heard <= HEARTBEATS_MISSED * peer.rank.heartbeat


def load(peer: Peer) -> tuple[float, str]:
    """By what clouds are ordered: the score that it will have, then the id."""
    return peer.rank.score + peer.expected * peer.rank.per_session, peer.rank.id


def matches(peer: Peer, request: CreateRequest) -> bool:
    """Whether it is the kind of cloud that the request asks for."""
    if request.cloud is not None and request.cloud != peer.rank.id:
        return False
    labels = peer.rank.labels
    return not request.where or all(labels.get(key) == value for key, value in request.where.items())


def fitting(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> list[Peer]:
    """The living clouds that are what the request asks for, whatever they run and whether or not they have room."""
    living = [peer for peer in peers.values() if lives(peer, now)]
    if request.cloud is None and not request.where:
        return living
    return [peer for peer in living if matches(peer, request)]


def kind_for(fit: Sequence[Peer], request: CreateRequest) -> str | None:
    """What its session will be: the best kind that any of the fitting clouds runs, whether that one has room or not.

    All clouds come to the same, so that it does not depend on who takes it.
    """
    for kind in request.kinds:
        for peer in fit:
            if kind in peer.kinds:
                return kind
    return None


def has_room(peer: Peer) -> bool:
    """Whether it takes anything new."""
    rank = peer.rank
    return not rank.draining and (rank.capacity is None or rank.sessions + peer.expected < rank.capacity)


def candidates(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> list[str]:
    """The clouds that may take a create, the least loaded first; no more than are needed."""
    fit = fitting(peers, request, now)
    kind = kind_for(fit, request)
    return in_order([peer for peer in fit if kind in peer.able and has_room(peer)])


def speakers(peers: Mapping[str, Peer], now: float) -> list[str]:
    """The clouds that may answer what no candidate and no owner can, in their order."""
    return in_order([peer for peer in peers.values() if lives(peer, now)])


def in_order(peers: list[Peer]) -> list[str]:
    """Those of some clouds that care for a request, the least loaded first."""
    caring = sorted(peers, key=load) if len(peers) <= CARING else nsmallest(CARING, peers, key=load)
    return [peer.rank.id for peer in caring]


def why_nobody(peers: Mapping[str, Peer], request: CreateRequest, now: float) -> RequestError:
    """What to answer where there is no candidate."""
    fit = fitting(peers, request, now)
    kind = kind_for(fit, request)
    if fit and kind is None:
        there = sorted({each for peer in fit for each in peer.kinds})
        return WrongRuntime(f"this is for runtime {request.kinds[0]}, and the clouds that fit have {', '.join(there)}")
    if fit and not any(kind in peer.able for peer in fit):
        return EngineUnavailable("the container engine of every cloud that could take this does not answer")
    if fit:
        return NoCapacity("every cloud that could take this is full or draining")
    asked = [f"{key}={value}" for key, value in request.where.items()]
    asked += [f"cloud {request.cloud}"] if request.cloud is not None else []
    return NoMatch(f"no living cloud has {', '.join(asked) or 'room'}")
