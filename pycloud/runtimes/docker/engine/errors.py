"""What goes wrong with an engine or a registry, in words and as our errors. Pure."""

from __future__ import annotations

from pycloud.errors import ImageDenied, ImageNotFound, RequestError, StartFailed

NOT_FOUND = 404
CONFLICT = 409
#: Words of engines for a reason that may be gone soon.
RETRYABLE_MESSAGES = (
    "no space left",
    "resource temporarily unavailable",
    "too many open files",
    "port is already allocated",
)
#: Words of registries, as engines hand them on. Where somebody has no login, several registries do not say whether
#: there is no such image or only no access to it: engines then say the last of these.
DENIED_MESSAGES = ("unauthorized", "denied", "no basic auth", "authentication required", "status: 401", "status: 403")
NOT_FOUND_MESSAGES = ("manifest unknown", "name unknown", "not found", "no such image")
#: The engine's words for an image that is not here, or not for the platform that was asked for.
UNKNOWN_IMAGE_MESSAGES = ("no such image", "does not match the specified platform")
AMBIGUOUS_MESSAGE = "repository does not exist or may require"


class EngineError(Exception):
    """The engine's own words why it did not do what it was asked. ``status`` is HTTP's; 0: it said so later on."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def innermost(error: BaseException) -> BaseException:
    """The error that all the others around it come from."""
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
    """What went wrong on the way to the engine, as short as can be."""
    inner = innermost(error)
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    return str(inner) or type(inner).__name__


def start_failure(error: EngineError) -> StartFailed:
    """Why a container could not be started."""
    message = error.message.lower()
    return StartFailed(error.message, retryable=any(each in message for each in RETRYABLE_MESSAGES))


def pull_failure(image: str, error: EngineError, logged_in: bool) -> RequestError:
    """Why an image could not be pulled. ``logged_in``: credentials for the registry were at hand."""
    text, message = f"{image}: {error.message}", error.message.lower()
    if AMBIGUOUS_MESSAGE in message and not logged_in:
        return ImageNotFound(text)
    if any(each in message for each in DENIED_MESSAGES):
        return ImageDenied(text)
    if any(each in message for each in NOT_FOUND_MESSAGES):
        return ImageNotFound(text)
    return StartFailed(f"the image cannot be pulled: {text}", retryable=True)
