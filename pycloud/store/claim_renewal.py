"""Renews the claims that this node holds while it works on them, all in one greenlet.

A claim that is lost meanwhile is noticed where it matters, when the response is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import gevent
import redis

from pycloud.store.requests import CLAIM_VALIDITY, LEASE, Claim, RequestStore

log = logging.getLogger(__name__)

#: Seconds between two renewals: two may fail before a lease runs out.
RENEWAL_INTERVAL = 0.3 * LEASE / 1000


class ClaimRenewer:
    """The claims of the requests in progress."""

    def __init__(self, request_store: RequestStore) -> None:
        self._request_store = request_store
        self._held: dict[Claim, float] = {}
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to renew."""
        self._greenlet = gevent.spawn(self._renew_for_ever)

    def stop(self) -> None:
        """Stop renewing."""
        if self._greenlet is not None:
            self._greenlet.kill()

    @contextmanager
    def hold(self, claim: Claim, valid_until: float = float("inf")) -> Iterator[None]:
        """Renew ``claim`` within this block. ``valid_until``: its initial value, see the method of that name."""
        self._held[claim] = valid_until
        try:
            yield
        finally:
            self._held.pop(claim, None)

    def valid_until(self, claim: Claim) -> float:
        """Until when (monotonic seconds) Redis is certain to remember a claim or its takeover, without another renewal.

        Infinite where the claim is not held.
        """
        return self._held.get(claim, float("inf"))

    def is_held(self, op: str, request_id: str) -> bool:
        """Whether this node is working on a request."""
        return any(claim.op == op and claim.id == request_id for claim in self._held)

    def renew(self) -> None:
        """Renew all claims in progress now. Raises redis.RedisError."""
        began = monotonic()
        # Evaluated page by page: a request that was answered meanwhile needs no renewal.
        renewed = self._request_store.renew(claim for claim in list(self._held) if claim in self._held)
        self._held.update((claim, began + CLAIM_VALIDITY) for claim in renewed if claim in self._held)

    def _renew_for_ever(self) -> None:
        while True:
            gevent.sleep(RENEWAL_INTERVAL)
            try:
                self.renew()
            except redis.RedisError as error:
                log.warning("claims could not be renewed, trying again: %s", error)
