"""Which of the containers that an engine lists are ours."""

from __future__ import annotations

from pycloud.runtimes.docker.engine.listing import containers_by_session

S, T = "1" * 20, "2" * 20
NODE = S[10:]


def test_only_our_containers_are_listed() -> None:
    def one(**labels: str) -> dict[str, object]:
        return {"Id": "x", "State": "running", "Labels": {f"pycloud.{name}": value for name, value in labels.items()}}

    odd = [one(cloud=NODE, session=session) for session in ("../x", "x", "", T, S.upper() + "A", "\u0661" * 20)]
    containers = [one(cloud=NODE, session=S), one(cloud=T[10:], session=T), one(cloud=NODE), *odd]
    assert list(containers_by_session([*containers, {"Id": "y", "Labels": None}], NODE)) == [S]
