"""Pulls images: each once, however many sessions wait for it, and reports the progress to all of them.

May touch: the engine's socket, the files with its users' credentials, and the programs named in them.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import docker
import gevent
from docker import auth
from docker.errors import DockerException
from gevent.event import Event

from pycloud.errors import RequestError, StartFailed
from pycloud.runtimes.base import PullProgress
from pycloud.runtimes.docker.engine.client import NO_TIMEOUT, EngineClient
from pycloud.runtimes.docker.engine.errors import EngineError, pull_failure

#: The engine's status of a layer that was already present, and those of a layer that is fully downloaded.
ALREADY_EXISTS = "Already exists"
LOADED_STATUSES = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")
MEGABYTE = 1e6


@dataclass
class Layer:
    """One layer of an image. ``total``: bytes, None until the engine reports it; ``loaded``: bytes downloaded."""

    loaded: int = 0
    total: int | None = None
    complete: bool = False
    unpacked: bool = False


@dataclass
class PullTracker:
    """The progress of a pull: all layers that the engine has mentioned, by their short ids."""

    image: str
    _layers: dict[str, Layer] = field(default_factory=dict)

    def update(self, message: Mapping[str, Any]) -> None:
        """Process one line of the engine's stream; lines that do not concern a layer change nothing."""
        status, name = message.get("status"), message.get("id")
        if not isinstance(status, str) or not isinstance(name, str) or status.startswith("Pulling from"):
            return
        layer = self._layers.setdefault(name, Layer())
        detail = message.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total", 0) > 0:
            layer.loaded, layer.total = detail.get("current", 0), detail["total"]
        elif status in LOADED_STATUSES or status == ALREADY_EXISTS:
            layer.complete, layer.loaded = True, layer.total or 0
        if status in ("Pull complete", ALREADY_EXISTS):
            layer.unpacked = True

    @property
    def done(self) -> float | None:
        """The downloaded share of the bytes of all layers with a known size; None: no size is known."""
        known = [layer for layer in self._layers.values() if layer.total]
        if not known:
            return 1.0 if self._layers and all(layer.complete for layer in self._layers.values()) else None
        return min(1.0, sum(layer.loaded for layer in known) / sum(layer.total or 0 for layer in known))

    def progress(self) -> PullProgress:
        """Return the progress, with a text for people."""
        if not self._layers:
            return PullProgress(self.image, "contacting the registry", None)
        unpacked = sum(layer.unpacked for layer in self._layers.values())
        layers = f"{unpacked} of {len(self._layers)} layers"
        loaded = sum(layer.loaded for layer in self._layers.values()) / MEGABYTE
        total = sum(layer.total or 0 for layer in self._layers.values()) / MEGABYTE
        return PullProgress(self.image, f"{layers}, {loaded:.1f} of {total:.1f} MB" if total else layers, self.done)


log = logging.getLogger(__name__)

#: Seconds between two reports to a waiting session.
REPORT_INTERVAL = 1.0
#: Seconds without a message after which a pull is aborted.
STALL_TIMEOUT = 300.0
#: Seconds that a credential helper may take.
CREDENTIALS_TIMEOUT = 30.0
#: Name prefix of credential helpers, their message where they have no credentials, and the user name for a token.
HELPER_PREFIX, NO_CREDENTIALS, TOKEN_USER = "docker-credential-", b"credentials not found", "<token>"

ProgressCallback = Callable[[PullProgress], None]


class ImagePuller:
    """Pulls images. ``platform`` is as in ``linux/arm64``; None: the engine's own."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine
        self._pulls: dict[tuple[str, str | None], _Pull] = {}

    def pull(self, image: str, platform: str | None, on_progress: ProgressCallback) -> None:
        """Pull the image, or join the pull in progress. ``on_progress`` is called at most once a second.

        Raises ImageNotFound, ImageDenied, EngineUnavailable, or StartFailed for all other failures.
        """
        key = image, platform
        pull = self._pulls.get(key)
        if pull is None:
            pull = self._pulls[key] = _Pull(self._engine, image, platform, lambda: self._pulls.pop(key, None))
        pull.wait(on_progress)

    def close(self) -> None:
        """Stop waiting for pulls; the engine may continue them."""
        gevent.killall([pull.greenlet for pull in self._pulls.values()])


class _Pull:
    """One pull in progress; ``on_finished`` is called when it has finished."""

    def __init__(
        self, engine: EngineClient, image: str, platform: str | None, on_finished: Callable[[], object]
    ) -> None:
        self._engine, self._image, self._platform = engine, image, platform
        self._tracker = PullTracker(image)
        self._last_message_at = monotonic()
        self._finished = Event()
        self._error: RequestError | None = StartFailed(f"{image}: the pull was aborted", retryable=True)
        self._on_finished = on_finished
        self._logged_in = False
        self.greenlet = gevent.spawn(self._run)

    def wait(self, on_progress: ProgressCallback) -> None:
        """Wait until the pull has finished, and report its progress. Raises its error."""
        on_progress(self._tracker.progress())
        while not self._finished.wait(REPORT_INTERVAL):
            on_progress(self._tracker.progress())
            if monotonic() - self._last_message_at > STALL_TIMEOUT:
                text = f"{self._image}: no response from the registry for {STALL_TIMEOUT:g} s"
                self._error = StartFailed(text, retryable=True)
                self.greenlet.kill(block=False)
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _run(self) -> None:
        try:
            credentials = gevent.get_hub().threadpool.apply(credentials_of, (self._image,))
            self._logged_in = bool(credentials)
            self._engine.run(lambda client: self._follow(client, credentials), NO_TIMEOUT)
            self._error = None
        except RequestError as error:
            self._error = error
        except EngineError as refusal:
            self._error = pull_failure(self._image, refusal, self._logged_in)
        except Exception as error:
            log.warning("image %s could not be pulled", self._image, exc_info=True)
            self._error = StartFailed(f"the image {self._image} cannot be pulled: {error}", retryable=True)
        finally:
            self._on_finished()
            self._finished.set()

    def _follow(self, client: docker.APIClient, credentials: dict[str, Any]) -> None:
        """Read the engine's stream of the pull. Raises EngineError, also for an error within the stream."""
        for line in client.pull(
            self._image, platform=self._platform, auth_config=credentials, stream=True, decode=True
        ):
            self._last_message_at = monotonic()
            if "error" in line:
                raise EngineError(0, str(line["error"]))
            self._tracker.update(line)


def credentials_of(image: str) -> dict[str, Any]:
    """Return the credentials for the image's registry in the engine's usual files; empty: there are none.

    Starts programs, so it may take long. Reads the files at each call: a login applies from the next pull on. Raises
    DockerException, OSError.
    """
    registry, _name = auth.resolve_repository_name(image)
    config = auth.load_config()
    program = config.get_credential_store(registry)
    # docker-py would run the program too, but without a timeout, and occupy one of few threads meanwhile.
    found = _ask_credential_helper(HELPER_PREFIX + program, registry) if program else None
    return found or auth.AuthConfig({"auths": config.auths}).resolve_authconfig(registry) or {}


def _ask_credential_helper(program: str, registry: str) -> dict[str, Any] | None:
    """Return a helper's credentials for ``registry``; None: it has none. Raises DockerException, OSError."""
    server = auth.INDEX_URL if registry == auth.INDEX_NAME else registry
    code, output = _run_program([program, "get"], server.encode())
    if code:
        if NO_CREDENTIALS in output:
            return None
        raise DockerException(f"{program} exited with {code}: {output.decode(errors='replace').strip()}")
    try:
        fields = json.loads(output)
        user, secret = fields["Username"], fields["Secret"]
    except (ValueError, TypeError, LookupError) as error:
        raise DockerException(f"{program} returned invalid credentials") from error
    if not user and not secret:
        return None
    login = {"IdentityToken": secret} if user == TOKEN_USER else {"Username": user, "Password": secret}
    return {"ServerAddress": server, **login}


def _run_program(command: list[str], stdin: bytes) -> tuple[int, bytes]:
    """Run a program; return its exit code and output. Raises DockerException on a timeout.

    The program is then killed, with its children.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        output, _ = process.communicate(stdin, CREDENTIALS_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise DockerException(f"{command[0]} took longer than {CREDENTIALS_TIMEOUT:g} s") from error
    finally:
        if process.returncode is None:  # not waited for yet, so its pid cannot have been reused
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    return process.returncode, output
