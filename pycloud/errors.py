"""Every error that PyCloud raises on purpose, each with its stable code on the wire.

The codes are part of the protocol (docs/errors.md lists them): add one there when you add one here, and never rename
one. An error's text is for people: it states the problem and, where possible, the remedy.
"""

from __future__ import annotations

from typing import ClassVar


class PyCloudError(Exception):
    """Base class of all errors raised on purpose. ``message`` is one line for people, without a trailing full stop."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(PyCloudError):
    """A setting cannot be used. The message names the source (flag, variable or file), the key and the reason."""


class AlreadyRunning(PyCloudError):
    """Another daemon holds the data directory."""


class EmbeddedRedisError(PyCloudError):
    """A private Redis was requested and could not be started; the message names what to install or to change."""


class KeeperError(PyCloudError):
    """The keeper could not be reached or started, or its response could not be decoded."""


class RedisUnavailable(PyCloudError):
    """Redis did not answer: it is not reachable, not ready, or it rejected the credentials."""


class RequestError(PyCloudError):
    """A request is rejected or failed, and is answered with ``{"error": {"code", "message"}}``."""

    code: ClassVar[str]
    #: True where a later attempt may succeed: such a response is replayed for seconds only, not for minutes.
    retryable: bool = False
    #: Id of the session that conflicts with the request, if there is one.
    session: str | None = None


class BadRequest(RequestError):
    """A field is missing or has the wrong type; the message names the field."""

    code = "bad_request"


class ScriptTooLarge(RequestError):
    """The script is larger than the node's setting ``max_script_bytes``."""

    code = "script_too_large"


class StartFailed(RequestError):
    """The session could not be started; the message carries the system's reason.

    ``retryable`` is true for a reason that may be temporary: a full disk, no free port, too many open files.
    """

    code = "start_failed"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class IdConflict(RequestError):
    """The request id was used before, with another payload."""

    code = "id_conflict"


class Abandoned(RequestError):
    """Several nodes died while they carried out this request; it is not tried again."""

    code = "abandoned"


class NoCapacity(RequestError):
    """Every matching node is full or takes no new sessions."""

    code = "no_capacity"
    retryable = True


class NoMatch(RequestError):
    """No online node matches the request."""

    code = "no_match"
    retryable = True


class WrongRuntime(RequestError):
    """No online matching node has the runtime that the request needs; the message lists the runtimes that exist."""

    code = "wrong_runtime"
    retryable = True


class NotAllowed(RequestError):
    """The node's operator does not allow an option of the request; the message names it and the setting."""

    code = "not_allowed"


class ImageNotFound(RequestError):
    """The image exists neither on the node nor in the registry that was searched."""

    code = "image_not_found"
    retryable = True


class ImageDenied(RequestError):
    """The registry denied this node access to the image."""

    code = "image_denied"
    retryable = True


class TooManyStreams(RequestError):
    """The node has reached its limit of concurrent log streams."""

    code = "too_many_streams"
    retryable = True


class EngineUnavailable(RequestError):
    """The container engine does not respond."""

    code = "engine_unavailable"
    retryable = True


class NameTaken(RequestError):
    """Another session that is live or may come back has the name; the message and ``session`` identify it."""

    code = "name_taken"
    retryable = True

    def __init__(self, name: str, session: str) -> None:
        super().__init__(f"the name {name} belongs to session {session} until that session has ended or is removed")
        self.session = session


class OwnerUnavailable(RequestError):
    """The session's node is offline; a remove is deferred until the node is back."""

    code = "owner_away"
    retryable = True


class RemoveFailed(RequestError):
    """The session was ended, but not all of its data can be deleted; the message carries the system's reason.

    The removal is recorded: a repeated request continues where it stopped.
    """

    code = "remove_failed"
    retryable = True
