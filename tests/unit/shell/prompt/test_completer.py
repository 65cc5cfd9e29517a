"""What is offered at the prompt for a line that is not finished."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from pycloud.client.health import HealthSnapshot
from pycloud.client.records import SessionRecord
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionCache, SessionsSnapshot
from pycloud.shell.prompt.completer import MAX_OFFERS, LineCompleter, describe_session
from pycloud.shell.prompt.completion_context import file_names

NODE = "cccccccccc"


def record(session: str, state: str = "running", **fields: Any) -> SessionRecord:
    usual: dict[str, Any] = {"host": "game7", "port": 4000}
    return SessionRecord(NODE, session, state in ("running", "starting"), state, **{**usual, **fields})


def snapshot_of(records: Iterable[SessionRecord]) -> SessionsSnapshot:
    cache = SessionCache()
    cache.update((), records)
    return cache.snapshot()


def offered(text: str, records: Iterable[SessionRecord] = ()) -> dict[str, str]:
    """What the line becomes by each offer, and what is said about it."""
    heartbeat = Heartbeat(NODE, 1.0, 0.0, 3, "i", "2", "game7.example.net", "script", 1.0, draining=True)
    health = Health().after_snapshot(HealthSnapshot(0.001, (heartbeat,), frozenset([NODE])), 0.0)
    sessions = snapshot_of(records)
    completer = LineCompleter(COMMANDS, lambda: health, lambda: sessions)
    found = completer.get_completions(Document(text), CompleteEvent())
    return {text[: len(text) + each.start_position] + each.text: each.display_meta_text for each in found}


def test_commands_where_one_may_stand() -> None:
    assert list(offered("")) == [row.name for row in COMMANDS]
    assert next(iter(offered("cr"))) == "create"
    assert list(offered("crea")) == ["create"]
    assert next(iter(offered("st"))) == "status"
    assert "remove" in offered("rmv")
    assert list(offered("help stat")) == ["help status"]
    assert offered("help status ") == offered("nonsense ") == {}
    assert "list" in offered("-o json li") or "-o json list" in offered("-o json li")


def test_flags_with_what_they_do() -> None:
    flags = offered("create -")
    assert "create --env" in flags
    assert "environment variable of the session" in flags["create --env"]
    assert "create --timeout" in flags
    assert "--timeout" in offered("--t")
    assert next(iter(offered("create --clo"))) == "create --cloud"
    assert offered("create -e") != {}
    assert not any(line.startswith("create -- -") for line in offered("create -- -"))


def test_values_of_flags() -> None:
    assert set(offered("list --state ")) == {
        f"list --state {s}" for s in ("starting", "running", "exited", "failed", "removed", "lost")
    }
    assert list(offered("ps --sort ho")) == ["ps --sort host"]
    assert list(offered("list --sort=ho")) == ["list --sort=host"]
    assert set(offered("-o ")) == {"-o table", "-o json", "-o ids"}
    assert offered("create --id ") == {}


def test_nodes_by_id_and_by_host() -> None:
    for word in ("", "cc", "game7", "exmpl"):
        assert offered(f"create --cloud {word}") == {
            f"create --cloud {NODE}": "game7.example.net, sessions: 3, draining, silent"
        }
    assert offered("create --cloud zzz") == {}


def test_sessions_that_live_come_first() -> None:
    ended, alive, other = "aa0000000a" + NODE, "ab0000000b" + NODE, "b00000000c" + NODE
    records = [record(ended, "exited"), record(alive, created=time.time() - 300), record(other)]

    assert list(offered("status a", records))[:2] == [f"status {alive}", f"status {ended}"]
    assert offered("status ", records)[f"status {alive}"] == "running game7:4000 5m"
    assert list(offered(f"remove {alive} ", records)) == [f"remove {alive} {other}", f"remove {alive} {ended}"]
    assert next(iter(offered("logs 0b", records))) == f"logs {alive}"
    assert offered(f"logs {alive} ", records) == {}, "one session and no more"


def test_a_session_may_have_a_name() -> None:
    session = "ab0000000b" + NODE
    sessions = snapshot_of([record(session, host=msgspec.UNSET, port=msgspec.UNSET, name="lobby")])
    assert sessions.live_words == (session, "lobby")
    assert describe_session(sessions.by_word["lobby"], "lobby", 0.0) == "ab000000 running -"
    assert describe_session(sessions.by_word[session], session, 0.0) == "lobby running -"


def test_what_nodes_write_is_shown_as_text() -> None:
    assert "\x1b" not in describe_session(record("a" * 20, "running\x1b[2J"), "a" * 20, 0.0)


def test_ten_thousand_sessions_are_never_all_offered() -> None:
    records = [record(secrets.token_hex(5) + NODE) for _ in range(10_000)]
    for word in ("", "a", "zz", "aaa", records[77].id[:9]):
        assert len(offered(f"status {word}", records)) <= MAX_OFFERS
    assert list(offered(f"status {records[77].id[:9]}", records)) == [f"status {records[77].id}"]


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my scripts").mkdir()
    (tmp_path / "my scripts" / "it's.sh").touch()
    (tmp_path / "server.sh").touch()
    (tmp_path / ".hidden").touch()

    assert list(offered("create ")) == ["create 'my scripts/'", "create server.sh"]
    assert list(offered("create srv")) == ["create server.sh"]
    assert list(offered("create .h")) == ["create .hidden"]
    assert list(offered("create ~/serv")) == ["create ~/server.sh"]
    assert list(offered("create 'my scripts/'")) == ["create 'my scripts/it'\"'\"'s.sh'"]
    assert list(offered("create 'my scripts/i")) == ["create 'my scripts/it'\"'\"'s.sh'"]
    assert file_names("/does/not/exist/") == file_names("~nobody-of-that-name/") == []
