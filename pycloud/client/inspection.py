"""A session closely: as its cloud tells, or as Redis has it on record while that one is away. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from pycloud.client.errors import NoCloud, NotFound
from pycloud.client.records import SessionRecord
from pycloud.protocol.messages import InspectResponse


def require_known(response: InspectResponse) -> InspectResponse:
    """The same. Raises NotFound where its cloud knows no such session."""
    if response.state is UNSET:
        raise NotFound(f"cloud {response.cloud} knows no session {response.id}")
    return response


def inspection_from_record(session: str, records: Sequence[SessionRecord], reason: NoCloud) -> InspectResponse:
    """What there is to say of a session from its record, marked as stale: for ``reason`` its cloud cannot be asked.

    Raises NotFound where there is no record.
    """
    if not records:
        raise NotFound(f"there is no record of session {session}, and {reason.message}")
    fields = msgspec.to_builtins(records[0])
    return msgspec.convert({**fields, "stale": True, "trouble": reason.message}, InspectResponse)
