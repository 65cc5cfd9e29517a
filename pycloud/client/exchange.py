"""One request, from its first publish to its answer: subscribed before, repeated while nothing is heard.

Blocking, one request per ``Exchange``. Decides when to repeat and when to give up; ``line.py`` does the I/O.
Repeating is safe because clouds treat the same id as the same request, however often it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from pycloud.client.ask import Ask
from pycloud.client.errors import NoAnswer, NoCloud, RedisLost
from pycloud.client.records import any_cloud_lives, cloud_lives
from pycloud.errors import RedisUnavailable
from pycloud.protocol.keys import Names
from pycloud.protocol.messages import CreateRequest, DrainRequest, Event, RemoveRequest
from pycloud.transport.blocking import Line, LineLost, Lines, NotReachable

#: Seconds without an answer until a request is published again: 1, 2, 4, and then always the longest.
LONGEST_SILENCE = 8.0
#: Seconds until a step that Redis itself answers counts as lost, and is tried over a new connection.
REDIS_PATIENCE = 3.0
#: Seconds between attempts to connect again: doubling up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
#: Seconds before the end in which nothing new is begun: what Redis could not answer in them would look like its fault.
LAST_MOMENT = 0.05

OnProgress = Callable[[Event], None]

NO_CLOUD = (
    "no cloud is listening. Is pycloud running? Does it use this Redis (--redis, PYCLOUD_REDIS_URL) "
    "and this namespace (--namespace, PYCLOUD_NAMESPACE)?"
)


def silence(attempt: int) -> float:
    """How many seconds to listen after publish number ``attempt`` (from 0) before the next."""
    return min(2.0**attempt, LONGEST_SILENCE)


def pause(losses: int) -> float:
    """How many seconds to wait after loss number ``losses`` (from 0) of the connection."""
    return min(FIRST_PAUSE * 2.0**losses, LONGEST_PAUSE)


class Exchange:
    """Carries one request through, for ``timeout`` seconds after it began or was last said to get on.

    ``on_progress`` gets each message that says so (``session.pulling``).

    Subscribes on a line of ``ears`` and publishes on one of ``mouths``: a line that was subscribed once is fit for
    nothing else, as news may still come in on it.
    """

    def __init__(
        self, ears: Lines, mouths: Lines, names: Names, ask: Ask, timeout: float, on_progress: OnProgress
    ) -> None:
        self._ears, self._mouths, self._names, self._ask = ears, mouths, names, ask
        self._timeout, self._until, self._on_progress = timeout, time.monotonic() + timeout, on_progress
        self._channel = names.response_channel(ask.op, ask.id)
        # The one that answers comes last: when that is confirmed, all are.
        progress = [names.progress_channel(ask.id)] if ask.op == CreateRequest.op else []
        self._channels = [*progress, self._channel]
        self._published = 0
        self._losses = 0

    def run(self) -> bytes:
        """The first answer, as it came.

        Raises NoCloud, NoAnswer, or RedisUnavailable: at once where Redis cannot be reached to begin with, at the end
        of the time where it was lost on the way (RedisLost where the request had been published by then).
        """
        try:
            return self._insist()
        except RedisUnavailable as error:
            if not self._published:
                raise
            raise RedisLost(self._unsettled(error.message), self._ask.id) from error

    def _insist(self) -> bytes:
        while True:
            try:
                with self._ears.line(self._until) as ear, self._mouths.line(self._until) as mouth:
                    answer = self._converse(ear, mouth)
                    self._unsubscribe(ear)
                    return answer
            except NotReachable as error:
                self._pause_or_give_up(error, fatal=not self._published and not self._losses)
            except LineLost as error:
                self._pause_or_give_up(error)

    def _pause_or_give_up(self, error: NotReachable | LineLost, *, fatal: bool = False) -> None:
        left = self._until - time.monotonic()
        if fatal or left <= 0:
            raise error
        time.sleep(min(pause(self._losses), left))
        self._losses += 1

    def _converse(self, ear: Line, mouth: Line) -> bytes:
        while True:
            # Subscribing anew each time also proves that the subscription still stands.
            if (answer := self._subscribe(ear)) is not None:
                return answer
            self._publish(mouth)
            listen_until = self._pause_ends(time.monotonic())
            if (answer := self._listen(ear, listen_until)) is not None:
                return answer
            if listen_until == self._until:
                raise NoAnswer(self._unsettled(f"no answer to request {self._ask.id} came in time"), self._ask.id)

    def _publish(self, mouth: Line) -> None:
        destination = self._destination(mouth)
        try:
            mouth.calls(self._soon(), ("PUBLISH", destination, self._ask.payload))
        except LineLost:
            self._published += 1  # it may have got through all the same
            raise
        self._published += 1

    def _pause_ends(self, now: float) -> float:
        """Until when to listen before the next publish; the very end where there will be none."""
        pause_ends = now + silence(self._published - 1)
        return pause_ends if pause_ends < self._until - LAST_MOMENT else self._until

    def _subscribe(self, ear: Line) -> bytes | None:
        """Returns when the server has confirmed the subscription, or an answer that came before that."""
        until = self._soon()
        ear.send(until, ("SUBSCRIBE", *self._channels))
        while (message := ear.hear(until)) is not None:
            if message[:2] == [b"subscribe", self._channel.encode()]:
                return None
            if self._is_answer(message):
                return bytes(message[2])
        raise LineLost("Redis does not confirm the subscription; is it frozen or overloaded?")

    def _listen(self, ear: Line, until: float) -> bytes | None:
        """The next answer; None when there was none until then."""
        while (message := ear.hear(until)) is not None:
            if self._is_answer(message):
                return bytes(message[2])
            if message[:2] == [b"message", self._channels[0].encode()]:
                self._get_on(message[2])
        return None

    def _get_on(self, payload: object) -> None:
        """The request is being carried out: the time that it may take begins anew."""
        try:
            event = msgspec.json.decode(bytes(payload), type=Event)  # type: ignore[call-overload]
        except (msgspec.DecodeError, RecursionError):
            return  # somebody else than a cloud
        self._until = max(self._until, time.monotonic() + self._timeout)
        self._on_progress(event)

    def _is_answer(self, message: list[object]) -> bool:
        return message[:2] == [b"message", self._channel.encode()]

    def _unsubscribe(self, ear: Line) -> None:
        try:
            # Nobody waits for the confirmation: the next request on this line skips what is not for it.
            ear.send(self._soon(), ("UNSUBSCRIBE", *self._channels))
        except RedisUnavailable:
            ear.close()  # the answer is here, and a closed line opens again when it is needed

    def _destination(self, mouth: Line) -> str:
        """The channel to publish to now."""
        ask, first = self._ask, not self._published
        if ask.owner and (first or ask.direct_only) and cloud_lives(mouth, self._names, ask.owner, self._soon()):
            return self._names.cloud_channel(ask.owner)
        if ask.owner and ask.direct_only:
            return self._direct_only(ask.owner)
        # Only before the first publish: later a cloud that restarts, or announces itself anew, is worth waiting for.
        if first and not any_cloud_lives(mouth, self._names, self._soon()):
            raise NoCloud(NO_CLOUD)
        return self._names.request_channel(ask.op)

    def _direct_only(self, owner: str) -> str:
        if not self._published:
            which = "" if self._ask.op == DrainRequest.op else ", which owns this session,"
            raise NoCloud(f"cloud {owner}{which} is not there; only it can answer this")
        return self._names.cloud_channel(owner)

    def _soon(self) -> float:
        return min(self._until, time.monotonic() + REDIS_PATIENCE)

    def _unsettled(self, reason: str) -> str:
        """The reason, and what it means for what was asked."""
        if not self._ask.changes_something:
            return reason
        more = f"{reason}; the request may still be carried out"
        if self._ask.op == RemoveRequest.op:
            more += ". A session has as long as its cloud's stop_grace to end, so a longer timeout may help"
        return more
