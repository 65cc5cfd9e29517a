"""Errors of the client, beside ``RedisUnavailable``. Messages name the next step where it is known.

Pure. Part of the library's interface (docs/client.md): add freely, rename nothing.
"""

from __future__ import annotations

from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import Response


class NoCloud(PyCloudError):
    """No node that could answer is online. Nothing was published, so nothing was done."""


class Unsettled(PyCloudError):
    """The outcome of a request is unknown: it was published, and no response was received.

    ``request_id`` is the id under which to repeat it, ``reason`` the message without its advice.
    """

    def __init__(self, reason: str, request_id: str) -> None:
        super().__init__(f"{reason}. Repeating the request under the same id ({request_id}) is safe")
        self.reason, self.request_id = reason, request_id


class NoAnswer(Unsettled):
    """No response came before the deadline. The request may still be carried out; repeat it under the same id."""


class RedisLost(Unsettled, RedisUnavailable):
    """Redis was lost after the request was published. It may still be carried out; repeat it under the same id."""


class UnusableAnswer(PyCloudError):
    """A response, or data in Redis, is not in the form that nodes write. A request may have been carried out."""


class NotFound(PyCloudError, LookupError):
    """There is no such session."""


class NotEnded(PyCloudError):
    """A session did not end before the deadline of a wait."""


class RequestRefused(PyCloudError):
    """A node rejected the request or could not carry it out, or it is known in advance that every node would reject it.

    ``code`` is one of the protocol's stable error codes, ``response`` the whole response (its ``cloud`` is empty where
    no node was involved).
    """

    def __init__(self, code: str, message: str, response: Response) -> None:
        super().__init__(message)
        self.code, self.response = code, response
