"""Errors of engines and registries, classified by their text and converted to PyCloud's errors. Pure."""

from __future__ import annotations

from pycloud.errors import ImageDenied, ImageNotFound, RequestError, StartFailed

NOT_FOUND = 404
CONFLICT = 409
#: Texts of engines for failures that may be temporary.
RETRYABLE_MESSAGES = (
    "no space left",
    "resource temporarily unavailable",
    "too many open files",
    "port is already allocated",
)
#: Texts of registries, as passed on by engines. Without a login, several registries do not reveal whether an image does
#: not exist or is not accessible: engines then report AMBIGUOUS_MESSAGE.
DENIED_MESSAGES = ("unauthorized", "denied", "no basic auth", "authentication required", "status: 401", "status: 403")
NOT_FOUND_MESSAGES = ("manifest unknown", "name unknown", "not found", "no such image")
#: Texts of engines for an image that is missing, or missing for the requested platform.
UNKNOWN_IMAGE_MESSAGES = ("no such image", "does not match the specified platform")
AMBIGUOUS_MESSAGE = "repository does not exist or may require"


class EngineError(Exception):
    """The engine rejected a call; the message is the engine's. ``status``: of HTTP; 0: an error after that."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def innermost(error: BaseException) -> BaseException:
    """Return the error that caused all others around it."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [each for each in (error.__cause__, error.__context__, *error.args) if isinstance(each, BaseException)]
        reason = getattr(error, "reason", None)
        if isinstance(reason, BaseException):
            inner.append(reason)
        error = next((each for each in inner if id(each) not in seen), error)
    return error


def message_of(error: BaseException) -> str:
    """Return a short text of an error in the communication with the engine."""
    inner = innermost(error)
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    return str(inner) or type(inner).__name__


def start_failure(error: EngineError) -> StartFailed:
    """Return the error for a container that could not be started."""
    message = error.message.lower()
    return StartFailed(error.message, retryable=any(each in message for each in RETRYABLE_MESSAGES))


def pull_failure(image: str, error: EngineError, logged_in: bool) -> RequestError:
    """Return the error for an image that could not be pulled. ``logged_in``: credentials were available."""
    text, message = f"{image}: {error.message}", error.message.lower()
    if AMBIGUOUS_MESSAGE in message and not logged_in:
        return ImageNotFound(text)
    if any(each in message for each in DENIED_MESSAGES):
        return ImageDenied(text)
    if any(each in message for each in NOT_FOUND_MESSAGES):
        return ImageNotFound(text)
    return StartFailed(f"the image cannot be pulled: {text}", retryable=True)
