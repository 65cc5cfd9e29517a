"""What goes over the line to the engine: one stream of events, so many calls at once, and answers that take long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.docker_runtime import Failed, Host
from tests.support.engine import Engine
from tests.support.engine_proxy import EngineProxy
from tests.support.waiting import wait_until

HostOn = Callable[..., Host]
EVENTS, LIST = "GET .*/events", "GET .*/containers/json"
#: Seconds within which the truth is known again after an engine came back.
SOON = 5.0


@pytest.fixture
def proxy(engine: Engine) -> Iterator[EngineProxy]:
    with EngineProxy(engine) as made:
        yield made


def test_one_stream_of_events_for_all_containers(own_engine: Engine, host_on: HostOn) -> None:
    own_engine.restart(live_restore=True)
    with EngineProxy(own_engine) as proxy:
        host = host_on(proxy)
        runs = [host.start("box") for _ in range(3)]
        waiting = [host.ask("wait", session) for session in runs]
        (first,) = proxy.asked(EVENTS)
        assert f'"label": ["pycloud.cloud={host.cloud}"]' in first
        assert not proxy.asked(".*/wait")
        own_engine.docker("kill", f"pycloud_{runs[0]}")
        died = time.time()
        assert waiting[0].result(20)["exit_code"] == 137
        lists = len(proxy.asked(LIST))
        own_engine.restart(live_restore=True)
        wait_until(lambda: len(proxy.asked(LIST)) > lists, 20)
        again = proxy.asked(EVENTS)[-1]
        since = float(again.partition("since=")[2].partition("&")[0])
        assert died - 1 < since < time.time(), "from the newest event on that it had heard"
        both = proxy.asked(f"({EVENTS}|{LIST})")
        assert both.index(again) < len(both) - 1, "it is listed once nothing more can be missed"
        own_engine.docker("kill", f"pycloud_{runs[1]}")
        assert waiting[1].result(20)["exit_code"] == 137
        assert not waiting[2].done()


def test_so_many_are_started_side_by_side(proxy: EngineProxy, host_on: HostOn) -> None:
    host = host_on(proxy, docker_parallel=3)
    proxy.delay = 0.2
    started = [host.launch("box") for _ in range(7)]
    for _, answer in started:
        answer.result(60)
    assert proxy.most == 3


def test_an_engine_that_takes_its_time(proxy: EngineProxy, host_on: HostOn) -> None:
    host = host_on(proxy)
    proxy.delay = 1.5
    one, other = host.launch("box"), host.launch("box", command=["sh", "-c", "exit 3"])
    assert host.call("unavailable_reason") is None
    for _, answer in (one, other):
        answer.result(60)
    assert host.call("wait", other[0])["exit_code"] == 3
    assert host.call("stop", one[0], 0, {}) is True
    assert "does not answer" not in host.log()


def test_an_engine_that_takes_too_long_is_away_until_it_does_not(
    engine: Engine, proxy: EngineProxy, host_on: HostOn
) -> None:
    host = host_on(proxy)
    runs = host.start("box")
    proxy.delay = 30
    wait_until(lambda: host.call("unavailable_reason") is not None, 30)
    with pytest.raises(Failed, match="EngineUnavailable"):
        host.start("box")
    engine.docker("kill", f"pycloud_{runs}")
    proxy.delay, began = 0, time.monotonic()
    assert host.call("wait", runs)["exit_code"] == 137
    wait_until(lambda: host.call("unavailable_reason") is None)
    # It may have been about to ask in vain when the engine was well again.
    assert time.monotonic() - began < 2 * SOON
    assert (host.log().count("does not answer"), host.log().count("answers: version")) == (1, 1)
    assert host.start("box")
