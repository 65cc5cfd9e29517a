"""Completion at the prompt: what is offered, from which picture, and on the screen."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import redis
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from pycloud.client.health import HealthSnapshot
from pycloud.client.records import SessionRecord
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionCache, SessionsSnapshot
from pycloud.shell.prompt.completer import MAX_OFFERS, LineCompleter, describe_session
from pycloud.shell.prompt.completion_context import InputTokens, file_names, tokenize
from pycloud.shell.prompt.fuzzy import best_matches, best_sorted_matches
from tests.support.pycloudctl import Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import CTRL_C, ENTER, TAB, Screen
from tests.support.waiting import wait_until

CTRL_R, CTRL_U, RIGHT = "\x12", "\x15", "\x1b[C"
CLOUD = "cccccccccc"


def record(session: str, state: str = "running", **more: object) -> SessionRecord:
    known = {"host": "game7", "port": 4000}
    return SessionRecord(CLOUD, session, state in ("running", "starting"), state, **{**known, **more})  # type: ignore[arg-type]


def picture(records: Iterable[SessionRecord]) -> SessionsSnapshot:
    roll = SessionCache()
    roll.update((), records)
    return roll.snapshot()


def offered(text: str, records: Iterable[SessionRecord] = ()) -> dict[str, str]:
    """What the line becomes by each offer, and what is said about it."""
    rank = Heartbeat(CLOUD, 1.0, 0.0, 3, "i", "2", "game7.example.net", "script", 1.0, draining=True)
    health = Health().after_snapshot(HealthSnapshot(0.001, (rank,), frozenset([CLOUD])), 0.0)
    sessions = picture(records)
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
    assert "set a variable" in flags["create --env"]
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


def test_clouds_by_id_and_by_host() -> None:
    for word in ("", "cc", "game7", "exmpl"):
        assert offered(f"create --cloud {word}") == {
            f"create --cloud {CLOUD}": "game7.example.net, sessions: 3, draining, silent"
        }
    assert offered("create --cloud zzz") == {}


def test_sessions_that_live_come_first() -> None:
    ended, alive, other = "aa0000000a" + CLOUD, "ab0000000b" + CLOUD, "b00000000c" + CLOUD
    records = [record(ended, "exited"), record(alive, created=time.time() - 300), record(other)]

    assert list(offered("status a", records))[:2] == [f"status {alive}", f"status {ended}"]
    assert offered("status ", records)[f"status {alive}"] == "running game7:4000 5m"
    assert list(offered(f"remove {alive} ", records)) == [f"remove {alive} {other}", f"remove {alive} {ended}"]
    assert next(iter(offered("logs 0b", records))) == f"logs {alive}"
    assert offered(f"logs {alive} ", records) == {}, "one session and no more"


def test_a_session_may_have_a_name() -> None:
    session = "ab0000000b" + CLOUD
    sessions = picture([record(session, host=msgspec.UNSET, port=msgspec.UNSET, name="lobby")])
    assert sessions.live_words == (session, "lobby")
    assert describe_session(sessions.by_word["lobby"], "lobby", 0.0) == "ab000000 running -"
    assert describe_session(sessions.by_word[session], session, 0.0) == "lobby running -"


def test_what_clouds_write_is_shown_as_text() -> None:
    assert "\x1b" not in describe_session(record("a" * 20, "running\x1b[2J"), "a" * 20, 0.0)


def test_ten_thousand_sessions_are_never_all_offered() -> None:
    records = [record(secrets.token_hex(5) + CLOUD) for _ in range(10_000)]
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", InputTokens((), "", 0)),
        ("list", InputTokens((), "list", 0)),
        ("list ", InputTokens(("list",), "", 5)),
        ("create 'a b' c", InputTokens(("create", "a b"), "c", 13)),
        ("create 'a b", InputTokens(("create",), "a b", 7)),
        ("create a\\ b", InputTokens(("create",), "a b", 7)),
        ('create "a\\"b', InputTokens(("create",), 'a"b', 7)),
        ("create '' ", InputTokens(("create", ""), "", 10)),
        ("a\\", InputTokens((), "a", 0)),
    ],
)
def test_words_that_are_being_typed(text: str, expected: InputTokens) -> None:
    assert tokenize(text) == expected


def test_the_best_come_first() -> None:
    assert best_matches("st", ["list", "logs", "status", "wait", "last"]) == ["status", "list", "last"]
    assert best_matches("", ["b", "a"]) == ["b", "a"]
    assert best_matches("LI", ["list"]) == ["list"]
    assert best_matches("(", ["list"]) == []


def test_some_of_many() -> None:
    words = sorted(["aa", "ab", "ac", "ba", "xa", "xb"])
    assert best_sorted_matches("a", words, 2) == ["aa", "ab"]
    assert best_sorted_matches("a", words, 10) == ["aa", "ab", "ac", "ba", "xa"]
    assert best_sorted_matches("b", words, 2) == ["ba", "ab"]
    assert best_sorted_matches("", words, 3) == ["aa", "ab", "ac"]


def offers(screen: Screen, line: str, *texts: str, never: str = "nothing of the kind") -> None:
    """Type ``line`` until it is completed with ``texts``, and not with what must not be: the picture takes a moment."""

    def offered() -> bool:
        screen.type(CTRL_U + line)
        text = screen.shows(f"pycloud> {line}").rpartition("pycloud>")[2]
        return all(part in text for part in texts) and never not in text

    wait_until(offered, 20, lambda: screen.text)


def test_ux_04_sessions_are_offered_as_they_come_and_go(shell: Shell, screen: Screen) -> None:
    first = shell.obedient.add(session="f000000001" + CLOUD)
    offers(screen, "status f0", first, "running here:4000")

    second = shell.obedient.add(session="f000000002" + CLOUD)
    shell.obedient._remove({"session": first})
    offers(screen, "status f0", second, never=first)
    screen.type(CTRL_U)
    screen.asks()
    screen.type("status f0")
    screen.shows("pycloud> status f0", second)  # what is offered now is for this very line, so that Tab takes it
    screen.type(TAB)
    screen.shows(f"pycloud> status {second}")


def test_what_comes_in_one_piece_is_completed_at_once(shell: Shell, screen: Screen) -> None:
    """As over a slow line, or from somebody who types fast."""
    session = shell.obedient.add(name="outside")
    shell.obedient.add(name="web-1"), shell.obedient.add(name="web-2")
    screen.shows("sessions 3 live")
    screen.type(f"sta{TAB} out{TAB} --out{TAB} id{TAB}{ENTER}")
    screen.shows(f"pycloud> status outside --output ids\n{session}\n")
    screen.type(f"status we{TAB}")
    screen.shows("pycloud> status web-\n")


def test_completion_survives_the_loss_of_redis(own_redis: RedisServer, shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = own_redis.url
    names = shell.cloud.names

    session = "f000000001" + CLOUD
    with redis.Redis.from_url(own_redis.url) as server:
        server.zadd(names.sessions_key, {session: 1.0})
        server.hset(names.session_key(session), mapping={"cloud": CLOUD, "state": "running", "created": "1.0"})
    screen = Screen(shell)
    screen.asks()
    offers(screen, "status f0", session)
    own_redis.freeze()
    offers(screen, "remove f0", session)
    own_redis.thaw()
    screen.close()


def test_ux_07_history_is_searched_and_suggested(screen: Screen) -> None:
    for word in ("ff", "ee"):
        screen.type(f"status {word}{ENTER}")
        screen.shows(f"there is no session {word}")
        screen.asks()
    screen.type(CTRL_R + "us f")
    screen.shows("reverse-i-search)`us f': status ff")
    screen.type(CTRL_C)
    screen.asks()
    screen.type("status e")
    screen.shows("pycloud> status ee")
    screen.type(RIGHT + "x")
    screen.shows("pycloud> status eex")
