"""What comes back to a requester: a refusal is raised, what makes no sense is said. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Self, TypeVar

import msgspec
from msgspec import UNSET

from pycloud.client.deprecated import deprecated
from pycloud.client.errors import NotFound, RequestRefused, UnusableAnswer
from pycloud.protocol.messages import CreateResponse, LogsResponse, Response

T = TypeVar("T")


class Created(CreateResponse, frozen=True, kw_only=True):
    """The answer to a create that succeeded: there is a session, and ``id`` is its id."""

    id: str


@dataclass(frozen=True)
class Answer:
    """What came back: ``raw`` as it came (UTF-8 JSON), and the same as ``response``. May be a refusal."""

    raw: bytes
    response: Response

    def raise_for_error(self) -> Self:
        """This answer; raises RequestRefused where it is a refusal."""
        error = self.response.error
        if error is not UNSET:
            raise RequestRefused(error.code, error.message, self.response)
        return self

    accepted = deprecated(raise_for_error, "Answer.accepted", "Answer.raise_for_error")


def output_of(response: LogsResponse) -> bytes:
    """The output that a response carries. Raises NotFound where the cloud knows no such session."""
    if not response.status:
        raise NotFound(f"cloud {response.cloud} knows no session {response.id}")
    data = response.data or ""
    return base64.b64decode(data) if response.encoding == "base64" else data.encode()


def decode_response(raw: bytes, response_type: type[T]) -> T:
    """The answer in ``raw``. Raises UnusableAnswer."""
    try:
        return msgspec.json.decode(raw, type=response_type)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"an answer came that no cloud would give: {error}") from error
