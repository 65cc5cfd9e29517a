"""The load: many requests at a time over plain redis-py (no client code of ours), each repeated until it is answered.

One thread. Times are monotonic seconds. What was asked and told stays here for the verdict.
"""

from __future__ import annotations

import heapq
import itertools
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from time import monotonic
from types import TracebackType
from typing import Self

import redis

from tests.chaos.requests import MARK, Asked, Script, Told
from tests.chaos.response_listener import Ears
from tests.support.requester import PREFIX
from tests.support.waiting import wait_until

LONGEST_PAUSE = 4.0
TICK = 0.02
#: The share of creates that want a name, where there are any.
NAMED = 0.4


@dataclass(frozen=True)
class Plan:
    """How much load. ``rate``: requests per second (0: as many as ``window`` allows), ``window``: unanswered creates.

    ``most_live``: sessions kept at a time; ``once``: each request is published once and never again; ``creates_only``:
    neither status nor remove, and no session that ends by itself; ``most``: how many creates at all (0: no end);
    ``boxes``: the share of creates that are containers; ``names``: how many names there are for NAMED of them, too few.
    """

    rate: float = 40.0
    window: int = 64
    most_live: int = 150
    once: bool = False
    creates_only: bool = False
    most: int = 0
    boxes: float = 0.0
    names: int = 0


class Load:
    """Publishes until ``stop()``; repeats what is unanswered until the block is left."""

    def __init__(self, url: str, seed: int, plan: Plan, ears: Ears) -> None:
        self.asked: dict[tuple[str, str], Asked] = {}
        self.told: dict[str, Told] = {}
        self._plan, self._ears, self._rng, self._name = plan, ears, Random(seed), f"{seed:x}"
        self._redis = redis.Redis.from_url(url, protocol=2, socket_timeout=2, socket_connect_timeout=2)
        self._numbers = itertools.count(1)
        self._due: list[tuple[float, int, Asked]] = []
        self._live: list[Told] = []
        self._waiting = 0  # creates not answered yet
        self._created = 0
        self._credit, self._counted = 0.0, monotonic()
        self._lock = threading.RLock()
        self._stopped, self._over = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(20)
        self._redis.close()

    @property
    def creates(self) -> int:
        """How many creates were asked for."""
        return self._created

    @property
    def exhausted(self) -> bool:
        """Whether all creates that the plan allows were asked for."""
        return bool(self._plan.most) and self._created >= self._plan.most

    def stop(self) -> None:
        """Ask for nothing new."""
        self._stopped.set()

    def unanswered(self) -> list[Asked]:
        """What still waits, and was promised an answer: published once, a create only (owners may be away)."""
        with self._lock:
            waiting = [asked for asked in self.asked.values() if not asked.done]
            return [asked for asked in waiting if asked.op == "create" or not asked.once]

    def due(self) -> list[Asked]:
        """What is still to be published (again)."""
        with self._lock:
            return [asked for at, _, asked in self._due if at == asked.next_at]

    def settle(self, timeout: float) -> None:
        """Wait until everything is answered and nothing is to be published any more, not even for a second time.

        What is not answered after ``timeout`` seconds is given up.
        """

        def quiet() -> bool:
            self._check()
            return not self.unanswered() and not self.due()

        try:
            wait_until(quiet, timeout)
        except AssertionError:
            self._check()
            with self._lock:
                for asked in self.unanswered():
                    asked.done = True

    def audit(self, sessions: Iterable[str]) -> None:
        """Ask for the status of these sessions, however the plan says; repeated until answered."""
        with self._lock:
            for session in sessions:
                self._ask("status", session, audit=True)

    def _check(self) -> None:
        if self._failure is not None:
            raise AssertionError("the load itself broke") from self._failure

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._ears.news.wait(TICK)
                with self._lock:
                    self._hear()
                    if not self._stopped.is_set():
                        self._ask_more()
                    due = self._take_due()
                self._publish(due)
        except BaseException as error:
            self._failure = error
            raise

    def _hear(self) -> None:
        for op, request in self._ears.fresh():
            asked = self.asked.get((op, request))
            if asked is None:
                continue
            if not asked.done:
                asked.done = True
                asked.next_at = 0.0  # the repeat that was due next is not wanted any more
                self._waiting -= op == "create"
                if self._rng.random() < 0.1 and not asked.once and not self._plan.creates_only and op != "status":
                    self._push(asked, monotonic() + self._rng.uniform(0, 3))  # one repeat after its answer
            if op == "create":
                self._note_session(asked)

    def _note_session(self, asked: Asked) -> None:
        for heard in self._ears.of("create", asked.id):
            session = heard.fields["id"]
            if session and session not in self.told:
                self.told[session] = Told(session, asked, heard.at)
                self._live.append(self.told[session])

    def _ask_more(self) -> None:
        now = monotonic()
        self._credit = min(self._credit + (now - self._counted) * self._plan.rate, 20.0)
        self._counted = now
        while (self._credit >= 1 or not self._plan.rate) and self._ask_one():
            self._credit -= 1

    def _ask_one(self) -> bool:
        """One request of a kind that makes sense now; False where none does."""
        room = self._waiting < self._plan.window and not self.exhausted
        if self._plan.creates_only:
            return room and self._create()
        full = len(self._live) + self._waiting >= self._plan.most_live
        choice = self._rng.random()
        if self._live and (choice < 0.25 or full):
            told = self._live.pop(self._rng.randrange(len(self._live)))
            told.removal = self._ask("remove", told.id)
        elif self.told and choice < 0.5:
            self._ask("status", self._rng.choice(list(self.told)))
        else:
            return room and self._create()
        return True

    def _create(self) -> bool:
        ends = not self._plan.creates_only and self._rng.random() < 0.15
        script = Script.EXITS if ends else Script.SLEEPS
        if self._plan.boxes and self._rng.random() < self._plan.boxes:
            script = Script.BOX_EXITS if ends else Script.BOX_SLEEPS
        named = self._plan.names and self._rng.random() < NAMED
        self._created += 1
        self._waiting += 1
        self._ask("create", script=script, name=f"name-{self._rng.randrange(self._plan.names)}" if named else "")
        return True

    def _ask(
        self, op: str, session: str = "", script: Script = Script.SLEEPS, name: str = "", *, audit: bool = False
    ) -> Asked:
        """A new request, to be published at once."""
        request = f"{op[0]}-{self._name}-{next(self._numbers)}"
        what: dict[str, object] = {"session": session}
        if op == "create":
            what = {"script": script, "env": {MARK: request}, **({"name": name} if name else {})}
        body = json.dumps({"id": request, **what}).encode()
        once, copies = self._plan.once and not audit, 1
        if op != "status" and not self._plan.once and not self._plan.creates_only:
            copies = self._rng.choices((1, 2, 10), (80, 12, 8))[0]
        asked = self.asked[op, request] = Asked(op, request, body, session, script, name, copies, once, audit)
        self._push(asked, monotonic())
        return asked

    def _push(self, asked: Asked, at: float) -> None:
        asked.next_at = at
        heapq.heappush(self._due, (at, next(self._numbers), asked))

    def _take_due(self) -> list[Asked]:
        """What is to be published now; whatever is not answered comes again after a pause that grows."""
        now, due = monotonic(), []
        while self._due and self._due[0][0] <= now:
            at, _, asked = heapq.heappop(self._due)
            if at != asked.next_at:
                continue
            due.append(asked)
            asked.published.append(now)
            if not asked.done and not asked.once:
                self._push(asked, now + asked.pause)
                asked.pause = min(asked.pause * 1.5, LONGEST_PAUSE)
        return due

    def _publish(self, due: list[Asked]) -> None:
        if not due:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for asked in due:
                    for _ in range(asked.copies):
                        pipe.publish(f"{PREFIX}.{asked.op}", asked.body)
                pipe.execute()
        except (redis.RedisError, OSError):
            return  # nobody knows whether they went out: they count as published, and are repeated like all others
