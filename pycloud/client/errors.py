"""What can go wrong for a requester, beside ``RedisUnavailable``. Messages say what to do next, where that is known.

Pure. Part of the library's interface (README.md, "As a library"): add freely, rename nothing.
"""

from __future__ import annotations

from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import Response


class NoCloud(PyCloudError):
    """No cloud lives that could answer. Nothing was published, so nothing was done."""


class Unsettled(PyCloudError):
    """What became of a request is not known: it was published, and no answer was heard.

    ``request_id`` is the id to repeat it under, ``reason`` the message without its advice.
    """

    def __init__(self, reason: str, request_id: str) -> None:
        super().__init__(f"{reason}. To ask again under the same id ({request_id}) is safe")
        self.reason, self.request_id = reason, request_id


class NoAnswer(Unsettled):
    """The time was up before an answer came. The request may still be carried out; repeat it under the same id."""


class RedisLost(Unsettled, RedisUnavailable):
    """Redis was lost after the request was published. It may still be carried out; repeat it under the same id."""


class UnusableAnswer(PyCloudError):
    """What came back, or what Redis holds, is not what a cloud would write. A request may have been carried out."""


class NotFound(PyCloudError, LookupError):
    """There is no such session."""


class NotEnded(PyCloudError):
    """A session that was waited for still lived when the time was up."""


class RequestRefused(PyCloudError):
    """A cloud answered that it will not or cannot do it; or it is known beforehand that every cloud would.

    ``code`` is one of the protocol's stable error codes, ``response`` the whole answer (its ``cloud`` is empty where
    none was asked).
    """

    def __init__(self, code: str, message: str, response: Response) -> None:
        super().__init__(message)
        self.code, self.response = code, response
