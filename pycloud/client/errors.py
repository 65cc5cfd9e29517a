"""What can go wrong for a requester, beside ``RedisUnavailable``. Messages say what to do next, where that is known.

Pure. Part of the library's interface (README.md, "As a library"): add freely, rename nothing.
"""

from __future__ import annotations

from pycloud.errors import PyCloudError
from pycloud.messages import Response


class NoCloud(PyCloudError):
    """No cloud lives that could answer. Nothing was published, so nothing was done."""


class NoAnswer(PyCloudError):
    """The time was up before an answer came. The request may still be carried out; repeat it under the same id."""


class UnusableAnswer(PyCloudError):
    """What came back, or what Redis holds, is not what a cloud would write. A request may have been carried out."""


class RequestRefused(PyCloudError):
    """A cloud answered that it will not or cannot do it.

    ``code`` is one of the protocol's stable error codes, ``response`` the whole answer.
    """

    def __init__(self, code: str, message: str, response: Response) -> None:
        super().__init__(message)
        self.code, self.response = code, response
