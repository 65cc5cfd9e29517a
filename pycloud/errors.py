"""Every error that PyCloud raises on purpose, each with the stable code under which it goes over the wire.

The codes are part of the protocol (docs/protocol.md, "Error codes"): add one there when you add one here, and never
rename one. An error's text is for people: it says what is wrong and, where that is possible, what to do.
"""

from __future__ import annotations

from typing import ClassVar


class PyCloudError(Exception):
    """Root of all errors raised on purpose. ``message`` is one line for people, without a trailing full stop."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(PyCloudError):
    """A setting cannot be used. The message names the source (flag, variable or file), the key and the reason."""


class AlreadyRunning(PyCloudError):
    """Another daemon holds the data directory."""


class EmbeddedRedisError(PyCloudError):
    """A private Redis was wanted and could not be started; the message says what to install or to change."""


class KeeperError(PyCloudError):
    """The keeper could not be reached, started or understood."""


class RedisUnavailable(PyCloudError):
    """Redis did not answer: not reachable, not ready, or it refused the credentials."""


class RequestError(PyCloudError):
    """A request that is refused or failed, and is answered with ``{"error": {"code", "message"}}``."""

    code: ClassVar[str]
    #: True where asking again later may succeed: such an answer is replayed for seconds only, not for minutes.
    retryable: bool = False
    #: The session that is in the way, where one is.
    session: str | None = None


class BadRequest(RequestError):
    """A field is missing or has the wrong type; the message names the field."""

    code = "bad_request"


class ScriptTooLarge(RequestError):
    """The script is larger than the cloud's setting ``max_script_bytes``."""

    code = "script_too_large"


class StartFailed(RequestError):
    """The session could not be started; the message carries the system's reason.

    ``passing`` is true for a reason that may be gone soon: a full disk, no free port, too many open files.
    """

    code = "start_failed"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class IdConflict(RequestError):
    """The request id was used before, with another payload."""

    code = "id_conflict"


class Abandoned(RequestError):
    """Several clouds died while they carried out this request; nobody tries it again."""

    code = "abandoned"


class NoCapacity(RequestError):
    """Every cloud that could take it is full or takes nothing new."""

    code = "no_capacity"
    retryable = True


class NoMatch(RequestError):
    """No living cloud is what the request asks for."""

    code = "no_match"
    retryable = True


class WrongRuntime(RequestError):
    """No living cloud that fits runs sessions of the kind that the request needs; the message says which there are."""

    code = "wrong_runtime"
    retryable = True


class NotAllowed(RequestError):
    """The cloud's operator does not allow what the request asks for; the message names it and the setting."""

    code = "not_allowed"


class ImageNotFound(RequestError):
    """There is no such image, here or where it was looked for."""

    code = "image_not_found"
    retryable = True


class ImageDenied(RequestError):
    """The registry did not let this cloud have the image."""

    code = "image_denied"
    retryable = True


class TooManyStreams(RequestError):
    """The cloud serves as many viewers as it can."""

    code = "too_many_streams"
    retryable = True


class EngineUnavailable(RequestError):
    """The container engine does not answer."""

    code = "engine_unavailable"
    retryable = True


class NameTaken(RequestError):
    """Another session that lives, or may come back, has the name; the message names it, and so does ``session``."""

    code = "name_taken"
    retryable = True

    def __init__(self, name: str, session: str) -> None:
        super().__init__(f"the name {name} is taken by session {session}, until that one has ended or is removed")
        self.session = session


class OwnerUnavailable(RequestError):
    """The session's cloud is away; a remove is carried out as soon as it is back."""

    code = "owner_away"
    retryable = True


class RemoveFailed(RequestError):
    """The session was ended, but not all that it left can be deleted; the message carries the system's reason.

    The wish is kept: asked again, the removal goes on where it stood.
    """

    code = "remove_failed"
    retryable = True
