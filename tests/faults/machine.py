"""What the machine says: living processes by their environment, directories, and keys in Redis.

Reads only. Nothing here asks a cloud.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.faults.requests import MARK
from tests.support.requester import PREFIX

NAMESPACE = "{" + PREFIX + "}"
SESSION_LENGTH = 20


@dataclass(frozen=True)
class Process:
    """A living process of a session: whose it says it is."""

    pid: int
    session: str
    cloud: str
    request: str


@dataclass(frozen=True)
class Machine:
    """Everything by session id. ``records`` are the hashes, ``listed`` the sorted set of all sessions.

    ``owned``: the set of each cloud's sessions, by cloud. ``claims``: requests claimed and never answered.
    ``committed``: the answer to a create that Redis holds, for the requests of living processes and of records.
    """

    processes: Mapping[str, list[Process]]
    paths: Mapping[str, list[Path]]
    records: Mapping[str, dict[str, str]]
    listed: frozenset[str]
    owned: Mapping[str, frozenset[str]]
    claims: tuple[str, ...]
    committed: Mapping[str, str]

    @property
    def answered(self) -> frozenset[str]:
        """The sessions that Redis holds as the answer to their create, whether or not anybody heard it."""
        answers = (json.loads(answer) for answer in self.committed.values() if answer)
        return frozenset(answer["id"] for answer in answers if answer["id"])


def look(data: Mapping[str, Path], client: redis.Redis) -> Machine:
    """The state of things now. ``data``: the data directory of each cloud, by cloud id."""
    found = processes(data.keys())
    keys = sorted(_text(key) for key in client.scan_iter(f"{NAMESPACE}:session:*", count=1000))
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hgetall(key)
        hashes = [_texts(fields) for fields in pipe.execute()] if keys else []
    requests = {process.request for group in found.values() for process in group}
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
    )


def processes(clouds: Container[str]) -> dict[str, list[Process]]:
    """The living processes of the sessions of these clouds ; a zombie has no environment."""
    found: defaultdict[str, list[Process]] = defaultdict(list)
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        environment = _environment(directory)
        if environment.get("PYCLOUD_CLOUD", "") in clouds and environment.get("PYCLOUD_SESSION"):
            session, cloud = environment["PYCLOUD_SESSION"], environment["PYCLOUD_CLOUD"]
            found[session].append(Process(int(directory.name), session, cloud, environment.get(MARK, "")))
    return dict(found)


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
        for kind in ("work", "logs", "state"):
            place = data / kind
            for path in place.iterdir() if place.is_dir() else ():
                session = path.name[:SESSION_LENGTH]
                if len(session) == SESSION_LENGTH and set(session) <= set("0123456789abcdef"):
                    found[session].append(path)
    return dict(found)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}
