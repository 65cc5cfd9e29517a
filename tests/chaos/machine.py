"""What the machine says: living processes by their environment, containers by their labels, files, and keys in Redis.

Reads only. Nothing here asks a cloud.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import redis

from tests.chaos.requests import MARK
from tests.support.engine import Engine
from tests.support.requester import PREFIX
from tests.support.settled_processes import settled

NAMESPACE = "{" + PREFIX + "}"
SESSION_LENGTH = 20
#: What ``docker ps`` is to print of a container, a line each.
COLUMNS = "\t".join(
    (*(f'{{{{.Label "pycloud.{label}"}}}}' for label in ("session", "cloud", "request")), "{{.Names}}", "{{.State}}")
)
#: A record of a start that was given up: kept for a while, as the engine may carry it out yet.
UNDONE = "undone"


@dataclass(frozen=True)
class Process:
    """A living process of a session: whose it says it is."""

    pid: int
    session: str
    cloud: str
    request: str


@dataclass(frozen=True)
class Container:
    """A container of a session, in whatever state: whose its labels say it is."""

    session: str
    cloud: str
    request: str
    name: str
    state: str

    @property
    def runs(self) -> bool:
        """Whether there are processes in it, or may be."""
        return self.state not in ("created", "exited", "dead")


@dataclass(frozen=True)
class Machine:
    """Everything by session id. ``records`` are the hashes, ``listed`` the sorted set of all sessions.

    ``processes`` are those within containers, too; ``paths``: directories and files that are named after a session.
    ``owned``: the set of each cloud's sessions, by cloud. ``claims``: requests claimed and never answered.
    ``committed``: the answer to a create that Redis holds, for the requests of living processes and of records.
    ``names``: whose each name is, or was last, and its state.
    """

    processes: Mapping[str, list[Process]]
    paths: Mapping[str, list[Path]]
    records: Mapping[str, dict[str, str]]
    listed: frozenset[str]
    owned: Mapping[str, frozenset[str]]
    claims: tuple[str, ...]
    committed: Mapping[str, str]
    containers: Mapping[str, list[Container]] = field(default_factory=dict)
    names: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def living(self) -> Set[str]:
        """The sessions that run: as a process, in a container, or both."""
        return self.processes.keys() | {name for name, group in self.containers.items() if any(c.runs for c in group)}

    @cached_property
    def traces(self) -> Mapping[str, list[str]]:
        """What is there of each session beside processes, in words."""
        found = {session: list(map(str, group)) for session, group in self.paths.items()}
        for session, group in self.containers.items():
            found.setdefault(session, []).extend(f"container {each.name} ({each.state})" for each in group)
        return found

    def living_of(self, session: str) -> list[str]:
        """What of a session runs, in words, and for which request it was made."""
        group, boxes = self.processes.get(session, ()), self.containers.get(session, ())
        found = [f"pid {each.pid} (made for {each.request})" for each in group]
        return found + [f"container {each.name} (made for {each.request})" for each in boxes if each.runs]

    @property
    def answered(self) -> frozenset[str]:
        """The sessions that Redis holds as the answer to their create, whether or not anybody heard it."""
        answers = (json.loads(answer) for answer in self.committed.values() if answer)
        return frozenset(answer["id"] for answer in answers if answer["id"])


def look(data: Mapping[str, Path], client: redis.Redis, engine: Engine | None = None) -> Machine:
    """The state of things now. ``data``: the data directory of each cloud, by cloud id."""
    found = processes(data.keys())
    boxes = containers(data.keys(), engine) if engine else {}
    keys = sorted(_text(key) for key in client.scan_iter(f"{NAMESPACE}:session:*", count=1000))
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hgetall(key)
        hashes = [_texts(fields) for fields in pipe.execute()] if keys else []
    requests = {each.request for group in found.values() for each in group}
    requests |= {each.request for group in boxes.values() for each in group}
    requests |= {fields["request"] for fields in hashes if "request" in fields}
    answers = {request: client.hget(f"{NAMESPACE}:request:create:{request}", "response") for request in requests}
    return Machine(
        processes=found,
        paths=paths(data.values()),
        records={key.rpartition(":")[2]: fields for key, fields in zip(keys, hashes, strict=True)},
        listed=frozenset(map(_text, client.zrange(f"{NAMESPACE}:sessions", 0, -1))),
        owned={cloud: frozenset(map(_text, client.smembers(f"{NAMESPACE}:sessions:{cloud}"))) for cloud in data},
        claims=tuple(map(_text, client.zrange(f"{NAMESPACE}:claims", 0, -1))),
        committed={request: _text(answer or b"") for request, answer in answers.items()},
        containers=boxes,
        names=names(client),
    )


def names(client: redis.Redis) -> dict[str, tuple[str, str]]:
    """The session that has each name, or had it last, and the state of that."""
    found = {}
    for key in map(_text, client.scan_iter(f"{NAMESPACE}:name:*", count=1000)):
        session, state = client.hmget(key, "session", "state")
        if session and state:
            found[key.rpartition(":")[2]] = (_text(session), _text(state))
    return found


def containers(clouds: Set[str], engine: Engine) -> dict[str, list[Container]]:
    """The containers of the sessions of these clouds, in whatever state."""
    found: defaultdict[str, list[Container]] = defaultdict(list)
    lines = engine.docker("ps", "--all", "--filter", "label=pycloud.session", "--format", COLUMNS).splitlines()
    for container in (Container(*line.split("\t")) for line in lines):
        if container.cloud in clouds:
            found[container.session].append(container)
    return dict(found)


def processes(clouds: Set[str]) -> dict[str, list[Process]]:
    """The living processes of the sessions of these clouds; a zombie has no environment."""
    return settled(lambda: _scan(clouds))


def _scan(clouds: Set[str]) -> tuple[dict[str, list[Process]], list[int]]:
    found: defaultdict[str, list[Process]] = defaultdict(list)
    nameless = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        environment = _environment(directory)
        if environment == {"": ""}:
            nameless.append(int(directory.name))
        if environment.get("PYCLOUD_CLOUD", "") in clouds and environment.get("PYCLOUD_SESSION"):
            session, cloud = environment["PYCLOUD_SESSION"], environment["PYCLOUD_CLOUD"]
            found[session].append(Process(int(directory.name), session, cloud, environment.get(MARK, "")))
    return dict(found), nameless


def _environment(directory: Path) -> dict[str, str]:
    try:
        raw = (directory / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}  # it has ended, or belongs to somebody else
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs}


def paths(directories: Iterable[Path]) -> dict[str, list[Path]]:
    """All that is named after a session in these data directories."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for data in directories:
        for kind in ("work", "logs", "state", "docker"):
            place = data / kind
            for path in place.iterdir() if place.is_dir() else ():
                session = path.name[:SESSION_LENGTH]
                named = len(session) == SESSION_LENGTH and set(session) <= set("0123456789abcdef")
                if named and not (kind == "docker" and _undone(path)):
                    found[session].append(path)
    return dict(found)


def _undone(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes())["stage"] == UNDONE)
    except FileNotFoundError:
        return True
    except ValueError:
        return False


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}
