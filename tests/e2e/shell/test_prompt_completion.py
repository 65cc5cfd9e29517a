"""Completion at the prompt: what is offered, from which picture, and on the screen."""

from __future__ import annotations

import redis

from tests.support.pycloudctl import Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import CTRL_C, ENTER, TAB, Screen
from tests.support.waiting import wait_until

CTRL_R, CTRL_U, RIGHT = "\x12", "\x15", "\x1b[C"
NODE = "cccccccccc"


def offers(screen: Screen, line: str, *texts: str, never: str = "nothing of the kind") -> None:
    """Type ``line`` until it is completed with ``texts``, and not with what must not be: the picture takes a moment."""

    def offered() -> bool:
        screen.type(CTRL_U + line)
        text = screen.shows(f"pycloud> {line}").rpartition("pycloud>")[2]
        return all(part in text for part in texts) and never not in text

    wait_until(offered, 20, lambda: screen.text)


def test_ux_04_sessions_are_offered_as_they_come_and_go(shell: Shell, screen: Screen) -> None:
    first = shell.obedient.add(session="f000000001" + NODE)
    offers(screen, "status f0", first, "running here:4000")

    second = shell.obedient.add(session="f000000002" + NODE)
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
    names = shell.node.names

    session = "f000000001" + NODE
    with redis.Redis.from_url(own_redis.url) as server:
        server.zadd(names.sessions_key, {session: 1.0})
        server.hset(names.session_key(session), mapping={"cloud": NODE, "state": "running", "created": "1.0"})
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
