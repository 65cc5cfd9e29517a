"""The client of the container engine: makes all calls to it, and tracks whether it responds.

May touch: the engine's socket.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Callable
from datetime import datetime
from time import time
from typing import Any, TypeVar

import docker
import gevent
import requests
import urllib3
from docker.errors import APIError, DockerException, StreamParseError
from gevent.event import Event

from pycloud.errors import EngineUnavailable
from pycloud.runtimes.docker.engine.errors import EngineError, message_of

log = logging.getLogger(__name__)

#: Seconds between two pings of a connected engine, between two attempts to connect, and until a ping times out: a
#: frozen engine keeps its sockets open and does not respond.
PING_INTERVAL, RECONNECT_INTERVAL, PING_TIMEOUT = 2.0, 0.5, 5.0
#: Timeout for calls that may take any time; they end when the engine is disconnected.
NO_TIMEOUT = float("inf")
#: Connections beyond those that starts use.
SPARE_CONNECTIONS = 4
STOPPING = "this node is stopping"

T = TypeVar("T")
Work = Callable[[docker.APIClient], T]


class EngineClient:
    """Calls an engine. ``host`` as in ``DOCKER_HOST``; ``timeout``: seconds per call; ``parallel``: parallel starts."""

    def __init__(self, host: str, timeout: float, parallel: int) -> None:
        self.host = host
        self.connected = Event()
        #: The host name that the engine reports.
        self.host_name: str | None = None
        #: Time of the latest connect, in Unix seconds: by this host's clock, and by the engine's.
        self.connected_at = self.engine_connected_at = 0.0
        self._timeout, self._parallel = timeout, parallel
        self._client: docker.APIClient | None = None
        self._unavailable_reason: str | None = "not connected yet"
        self._calls: set[gevent.Greenlet] = set()
        self._suspect = Event()
        self._watcher: gevent.Greenlet | None = None

    def connect(self) -> None:
        """Try to connect to the engine, and from now on detect when it goes offline and comes back."""
        self._try_connect()
        self._watcher = gevent.spawn(self._watch_for_ever)

    def disconnect(self) -> None:
        """Disconnect; calls in progress are aborted."""
        if self._watcher is not None:
            self._watcher.kill()
        self._client, self._unavailable_reason = None, STOPPING
        self.connected.clear()
        gevent.killall(list(self._calls))

    def unavailable_reason(self) -> str | None:
        """Return why the engine is unavailable at present; None: it responds."""
        if self._client:
            return None
        if self._unavailable_reason == STOPPING:
            return STOPPING
        return f"the container engine at {self.host} does not answer: {self._unavailable_reason}"

    def run(self, work: Work[T], timeout: float | None = None) -> T:
        """Run ``work`` with a client; return its result. Other greenlets are not blocked.

        Raises EngineError where the engine rejects the call; EngineUnavailable where it does not respond within
        ``timeout`` seconds (None: those of the client) or is lost meanwhile: the call may have been carried out, or may
        be later.
        """
        client = self._client
        if client is None:
            raise EngineUnavailable(self.unavailable_reason() or "")
        timeout = self._timeout if timeout is None else timeout
        call = gevent.spawn(_run_or_failure, work, client)
        self._calls.add(call)
        try:
            call.join(None if timeout == NO_TIMEOUT else timeout)
            if not call.ready():
                self._suspect.set()
                raise EngineUnavailable(f"the container engine at {self.host} took longer than {timeout:g} s")
        finally:
            self._calls.discard(call)
            call.kill(block=False)
        result: T = self._unwrap(call.value)
        return result

    def mark_suspect(self) -> None:
        """Check now whether the engine responds: the caller has reason to doubt it."""
        self._suspect.set()

    def _unwrap(self, value: Any) -> Any:
        """Return the result of a call, or raise its error as one of PyCloud's."""
        if isinstance(value, gevent.GreenletExit):
            raise EngineUnavailable(
                self.unavailable_reason() or f"the connection to the container engine at {self.host} was lost"
            )
        if not isinstance(value, _Failed):
            return value
        try:
            raise value.error
        except APIError as error:
            raise EngineError(error.status_code or 0, str(error.explanation or error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            self._raise_unavailable(error)
        except (OSError, StreamParseError) as error:
            self._raise_unavailable(error)
        except DockerException as error:  # docker-py itself rejects the call
            raise EngineError(0, str(error)) from error

    def _raise_unavailable(self, error: Exception) -> None:
        self._suspect.set()
        text = f"the container engine at {self.host} does not answer: {message_of(error)}"
        raise EngineUnavailable(text) from error

    def _watch_for_ever(self) -> None:
        while True:
            if self._client is None:
                gevent.sleep(RECONNECT_INTERVAL)
                self._try_connect()
            else:
                self._suspect.wait(PING_INTERVAL)
                self._suspect.clear()
                self._ping(self._client)

    def _try_connect(self) -> None:
        result = _run_with_timeout(PING_TIMEOUT, self._make_client)
        if isinstance(result, _Failed):
            self._mark_unavailable(message_of(result.error))
            return
        self._client, info = result
        self.host_name = info.get("Name") or None
        self.connected_at, self.engine_connected_at = time(), _seconds(info.get("SystemTime"))
        # At startup, a responding engine is the normal case.
        level = logging.DEBUG if self._watcher is None else logging.INFO
        log.log(level, "the container engine at %s answers: version %s", self.host, info.get("ServerVersion"))
        self._unavailable_reason = None
        self.connected.set()

    def _make_client(self) -> tuple[docker.APIClient, dict[str, Any]]:
        # Without timeouts of its own: these would count from each byte, so never expire while data trickles in.
        client = docker.APIClient(
            **{**docker.utils.kwargs_from_env(), "base_url": self.host},
            version="auto",
            timeout=None,
            max_pool_size=self._parallel + SPARE_CONNECTIONS,
        )
        client.trust_env = False  # neither proxies nor a .netrc are meant for the engine
        return client, client.info()

    def _ping(self, client: docker.APIClient) -> None:
        result = _run_with_timeout(PING_TIMEOUT, client.ping)
        if isinstance(result, _Failed):
            self._mark_unavailable(message_of(result.error))

    def _mark_unavailable(self, reason: str) -> None:
        if self._unavailable_reason is None or self._watcher is None:
            log.warning(
                "the container engine at %s does not answer: %s; its sessions keep their last state until it does",
                self.host,
                reason,
            )
        self._unavailable_reason, self._client = reason, None
        self.connected.clear()
        for call in list(self._calls):
            call.kill(block=False)


class _Failed:
    """An error as a value: gevent would print one that ends a greenlet."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _run_or_failure(work: Work[T], client: docker.APIClient) -> T | _Failed:
    try:
        return work(client)
    except Exception as error:
        return _Failed(error)


def _run_with_timeout(seconds: float, call: Callable[[], T]) -> T | _Failed:
    """Return the result of ``call``; a failure where it takes longer than ``seconds`` or raises an exception."""
    timeout = gevent.Timeout.start_new(seconds)
    try:
        return call()
    except gevent.Timeout:
        return _Failed(TimeoutError(f"no response for {seconds:g} s"))
    except Exception as error:
        return _Failed(error)
    finally:
        timeout.close()


def _seconds(written: Any) -> float:
    """Convert a time in the engine's format to Unix seconds; 0 where it is none."""
    try:
        return datetime.fromisoformat(written).timestamp()
    except (TypeError, ValueError):
        return 0.0
