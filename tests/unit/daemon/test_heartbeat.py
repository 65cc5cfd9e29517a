"""What a node's heartbeat has, and what the node concludes from receiving its own, or none, or another daemon's."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest

from pycloud.cluster.membership import Membership
from pycloud.config import Config
from pycloud.daemon import heartbeat
from pycloud.daemon.heartbeat import FORGET_AFTER, LOG_INTERVAL, HeartbeatService
from pycloud.daemon.intake import DropCounter
from pycloud.protocol.messages import Heartbeat, encode

OWN, OTHER, INSTANCE = "a" * 10, "b" * 10, "ours"
#: Seconds.
INTERVAL, LOST_AFTER = 1.0, 30.0


class LoopEnded(Exception):
    """The test has seen enough heartbeats."""


class Node:
    """A node whose clock stands still; it records its heartbeats, and what its callbacks are called for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.now, self.cpu = 1000.0, 0.0
        self.sent: list[Heartbeat] = []
        self.done: list[str] = []
        monkeypatch.setattr(heartbeat, "monotonic", lambda: self.now)
        memory = SimpleNamespace(percent=20.0)
        psutil = SimpleNamespace(cpu_percent=lambda: self.cpu, virtual_memory=lambda: memory)
        monkeypatch.setattr(heartbeat, "psutil", psutil)
        self.membership = Membership(OWN, INSTANCE, INTERVAL)
        self.router = SimpleNamespace(paused=False)
        receiver = SimpleNamespace(dropped=DropCounter(lambda: self.now))
        self.manager = SimpleNamespace(
            identity=SimpleNamespace(id=OWN, instance=INSTANCE, host="h"),
            runtime=SimpleNamespace(kinds=("script", "docker"), unavailable_kinds=lambda: ("docker",)),
            session_store=SimpleNamespace(
                publish_heartbeat=self.sent.append, delete_heartbeat=lambda: self.done.append("deleted")
            ),
            draining=False,
            load=2,
        )
        settings |= {"data_dir": Path("/data"), "run_dir": Path("/run"), "hostname": "h"}
        config = Config(heartbeat=INTERVAL, lost_after=LOST_AFTER, **settings)
        parts = cast(Any, (self.manager, self.membership, self.router, receiver, config))
        self.service = HeartbeatService(*parts)
        self.service.on_lost = lambda _reason: self.done.append("lost")
        self.service.on_recovered = lambda: self.done.append("recovered")

    def receive(self, node: str = OWN, instance: str = INSTANCE, **more: Any) -> None:
        """Receive a heartbeat that was sent this moment."""
        sent = Heartbeat(node, 1.0, 0.0, 0, instance, "2", "h", "script", INTERVAL, **{"sent": self.now, **more})
        self.service.on_heartbeat(encode(sent))
        gevent.sleep(0)

    def receive_for(self, seconds: int, *instances: str) -> None:
        """Receive a heartbeat with our id of each of these daemons, each second."""
        for _ in range(seconds):
            self.now += 1.0
            for instance in instances:
                self.receive(instance=instance)

    def send(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        """Run the loop for so many heartbeats, a second apart, in which none is received."""
        end = self.now + times

        def sleep(interval: float) -> None:
            if self.now >= end:
                raise LoopEnded
            self.now += interval

        monkeypatch.setattr(heartbeat, "sleep_to_next_tick", sleep)
        with pytest.raises(LoopEnded):
            self.service._publish_for_ever()


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


def test_a_heartbeat_has_what_other_nodes_need_to_place_a_create(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, capacity=9, labels=(("region", "eu"),), session_weight=3.0)
    current = node.service.current()
    assert (current.id, current.instance, current.sessions, current.capacity) == (OWN, INSTANCE, 2, 9)
    assert (current.runtime, current.runtimes, current.unavailable) == ("script", ("script", "docker"), ("docker",))
    assert (current.labels, current.per_session, current.heartbeat) == ({"region": "eu"}, 3.0, INTERVAL)
    assert current.sent == node.now, "by which it knows how old its own heartbeat is"


def test_a_single_reading_of_the_cpu_changes_the_score_a_little(node: Node) -> None:
    """Or all creates would go elsewhere for a moment, and then all of them here."""
    idle = node.service.current().score
    node.cpu = 100.0
    busy = [node.service.current().score - idle for _ in range(30)]
    assert 0 < busy[0] < 20
    assert busy == sorted(busy)
    assert busy[-1] > 2 * busy[0], "a load that lasts counts for more"


def test_a_node_is_deaf_when_it_has_not_received_its_own_heartbeat_for_three_intervals(node: Node) -> None:
    assert not node.service.current().deaf, "just started, it may yet receive its own"
    node.receive()
    node.now += 3 * INTERVAL
    assert not node.service.current().deaf
    node.now += 0.1
    assert node.service.current().deaf


def test_own_heartbeats_that_are_received_again_are_reported_once(node: Node) -> None:
    node.receive()
    assert node.done == [], "the first one is no recovery"
    node.now += 10.0
    node.receive_for(3, INSTANCE)
    assert node.done == ["recovered"]


@pytest.mark.parametrize(
    ("sender", "more"),
    [
        (OTHER, {}),
        (OWN, {"deaf": True}),  # the others have received it, and go on answering for us
        (OWN, {"sent": 1005.0}),  # it was delayed, as those of a frozen node are
        (OWN, {"instance": "double"}),
    ],
)
def test_what_does_not_prove_that_a_node_receives_again(node: Node, sender: str, more: dict[str, Any]) -> None:
    node.receive()
    node.now += 10.0
    node.receive(sender, **more)
    assert node.done == []


def test_a_heartbeat_that_cannot_be_decoded_is_counted_and_dropped(node: Node) -> None:
    node.service.on_heartbeat(b'{"id": 1}')
    assert node.membership.peers == {}
    assert node.service.current().dropped == 1


def test_a_dead_subscription_is_reported_every_three_intervals(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.receive()
    node.service.reset_deadline()
    node.send(monkeypatch, 3)
    assert node.done == []
    node.send(monkeypatch, 1)
    assert node.done == ["lost"]
    node.send(monkeypatch, 3)
    assert node.done == ["lost"], "a new one has had no time to receive anything"
    node.send(monkeypatch, 1)
    assert node.done == ["lost"] * 2
    node.now += 100.0
    node.service.reset_deadline()
    node.send(monkeypatch, 3)
    assert node.done == ["lost"] * 2, "nor has a new connection"
    assert len(node.sent) == 11, "and it sends heartbeats all the time"


def test_while_another_daemon_uses_our_id_requests_are_paused_and_the_heartbeat_has_that(node: Node) -> None:
    node.receive_for(3, INSTANCE, "double")
    assert not node.router.paused, "a burst of old heartbeats may be of the previous daemon"
    node.receive_for(1, INSTANCE, "double")
    assert node.router.paused
    current = node.service.current()
    assert (current.copied, current.draining) == (True, True)
    assert not node.manager.draining, "that is what the operator sets"


def test_when_the_other_daemon_is_gone_requests_are_taken_again(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node.receive_for(10, INSTANCE, "double")
    node.receive_for(int(LOST_AFTER), INSTANCE)
    assert node.router.paused, "it may be frozen"
    caplog.clear()
    node.receive_for(1, INSTANCE)
    assert not node.router.paused
    assert [sent.copied for sent in node.sent] == [False], "sent at once: the last heartbeat had it"
    assert node.done == ["recovered"], "the other may have overwritten our data"
    assert "requests are accepted again" in caplog.text


def test_that_another_daemon_uses_the_id_is_logged_once_a_minute(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.receive_for(4 + int(LOG_INTERVAL), INSTANCE, "double")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    node.receive_for(1, "double")
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_a_node_without_heartbeats_is_forgotten_after_an_hour(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.receive(OTHER)
    node.now += FORGET_AFTER - 2 * INTERVAL
    node.send(monkeypatch, 1)
    assert OTHER in node.membership.peers
    node.send(monkeypatch, 1)
    assert OTHER not in node.membership.peers


def test_the_last_heartbeat_is_deaf_and_the_stored_one_is_deleted(node: Node) -> None:
    node.receive()
    node.service.publish_shutdown()
    assert [sent.deaf for sent in node.sent] == [True], "so that others answer for it at once"
    assert node.done == ["deleted"]
