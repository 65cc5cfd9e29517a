"""Requests as they are sent and responses as they come back: built, validated, decoded, rejections raised. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import msgspec
from msgspec import UNSET

from pycloud.client.deprecated import deprecated
from pycloud.client.errors import NotFound, RequestRefused, UnusableAnswer
from pycloud.errors import ScriptTooLarge
from pycloud.protocol.decoding import is_valid_id
from pycloud.protocol.keys import NODE_ID_LENGTH, owner_of
from pycloud.protocol.messages import CreateResponse, ErrorBody, InspectResponse, LogsResponse, Response
from pycloud.protocol.requests import REQUESTS, CreateRequest, DrainRequest, RemoveRequest

T = TypeVar("T")


class Created(CreateResponse, frozen=True, kw_only=True):
    """The response to a create that succeeded: the session exists, and ``id`` is its id."""

    id: str


@dataclass(frozen=True)
class Answer:
    """A response: ``raw`` as received (UTF-8 JSON), and the same as ``response``. May be an error."""

    raw: bytes
    response: Response

    def raise_for_error(self) -> Self:
        """This response; raises RequestRefused where it is an error."""
        error = self.response.error
        if error is not UNSET:
            raise RequestRefused(error.code, error.message, self.response)
        return self

    accepted = deprecated(raise_for_error, "Answer.accepted", "Answer.raise_for_error")


def unknown_session(response: Response) -> NotFound:
    """The error for the response of a node that does not have the session."""
    return NotFound(f"node {response.cloud} has no session {response.id}")


def output_of(response: LogsResponse) -> bytes:
    """The output that a response carries. Raises NotFound where the node has no such session."""
    if not response.status:
        raise unknown_session(response)
    data = response.data or ""
    return base64.b64decode(data) if response.encoding == "base64" else data.encode()


def require_known(response: InspectResponse) -> InspectResponse:
    """``response`` itself. Raises NotFound where the node has no such session."""
    if response.state is UNSET:
        raise unknown_session(response)
    return response


def decode_response(raw: bytes, response_type: type[T]) -> T:
    """The response in ``raw``. Raises UnusableAnswer."""
    try:
        return msgspec.json.decode(raw, type=response_type)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"the response did not come from a PyCloud node: {error}") from error


#: The highest value that a node's ``max_script_bytes`` can have.
MAX_SCRIPT_BYTES = 16 << 20
#: Longest timeout of a request, in seconds.
MAX_TIMEOUT = 86400.0
#: Fields that must be str: an encoder would convert bytes to base64, and such a script would be started as it is.
STRING_FIELDS = ("script", "session", "cloud", "runtime", "name")
STRING_MAPPING_FIELDS = ("env", "where", "labels")


@dataclass(frozen=True)
class ClientRequest:
    """A request. ``owner`` is the node to which it is sent first, None where any may answer.

    ``direct_only``: only ``owner`` may answer.
    """

    op: str
    id: str
    payload: bytes
    owner: str | None = None
    direct_only: bool = False

    @property
    def has_side_effects(self) -> bool:
        """Whether it changes anything on a node."""
        return self.op in (CreateRequest.op, RemoveRequest.op, DrainRequest.op)


def build_request(op: str, fields: Mapping[str, Any], request_id: str) -> ClientRequest:
    """The request ``op`` with ``fields`` beside its id.

    Raises ValueError and TypeError for a request that no node could use, RequestRefused for a script that all would
    reject.
    """
    _validate(op, fields, request_id)
    owner = _owner_of_request(op, fields)
    direct_only = REQUESTS[op].direct_only
    if op == DrainRequest.op and owner is None:
        raise ValueError("`drain` is for one node, and needs its id as `cloud`")
    if direct_only and owner is None:
        raise ValueError(f"{fields.get('session')!r} is not a session id, which has 20 hex digits")
    # The op is included even where the channel implies it, so that each repeat has the same bytes on either channel.
    wire_fields = {"id": request_id, "op": op, **fields} if owner else {"id": request_id, **fields}
    try:
        payload = msgspec.json.encode(wire_fields)
        validate_script(fields.get("script", "").encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"the request is not valid Unicode text: {error}") from error
    return ClientRequest(op, request_id, payload, owner, direct_only)


def validate_script(script: bytes) -> None:
    """Raises RequestRefused, as for a node's response, where the script is too large for every node."""
    if len(script) > MAX_SCRIPT_BYTES:
        reason = (
            f"the script is larger than {MAX_SCRIPT_BYTES} bytes, the limit of every node. "
            "Use a small script that fetches or unpacks the rest"
        )
        body = ErrorBody(ScriptTooLarge.code, reason)
        raise RequestRefused(body.code, reason, CreateResponse(cloud="", id=None, error=body))


def validate_timeout(timeout: float) -> float:
    """``timeout`` itself. Raises ValueError unless it is above 0 and at most a day, as sockets have a limit."""
    if not 0 < timeout <= MAX_TIMEOUT:
        raise ValueError(f"a timeout must be above 0 and at most {MAX_TIMEOUT:.0f} seconds, not {timeout!r}")
    return timeout


def _validate(op: str, fields: Mapping[str, Any], request_id: str) -> None:
    if op not in REQUESTS:
        raise ValueError(f"{op!r} is not a request; the requests are {', '.join(REQUESTS)}")
    if not is_valid_id(request_id):
        raise ValueError(f"{request_id!r} is not a request id, which has 1 to 256 characters and no control characters")
    for name in ("id", "op"):
        if name in fields:
            raise ValueError(f"`{name}` is not a field: it is an argument of its own")
    for name in STRING_FIELDS:
        if not isinstance(fields.get(name, ""), str):
            raise TypeError(f"`{name}` must be a str, not {type(fields[name]).__name__}")
    for name in STRING_MAPPING_FIELDS:
        for key, value in dict(fields.get(name, {})).items():
            if not (isinstance(key, str) and isinstance(value, str)):
                raise TypeError(f"`{name}` must map str to str, not {key!r} to {value!r}")


def _owner_of_request(op: str, fields: Mapping[str, Any]) -> str | None:
    """The one node that this is for, as far as the request names it."""
    if op not in (CreateRequest.op, DrainRequest.op):
        return owner_of(fields.get("session", ""))
    node = fields.get("cloud")
    if node is not None and owner_of("0" * NODE_ID_LENGTH + node) is None:
        raise ValueError(f"{node!r} is not a node id, which has {NODE_ID_LENGTH} hex digits")
    return node
