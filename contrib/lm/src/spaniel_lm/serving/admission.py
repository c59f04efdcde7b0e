"""A bound on the requests that are under way, of one client and of all."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from spaniel_lm.serving.limits import Limits
from spaniel_lm.serving.refusal import Refusal

_REMEMBERED = 64
"""Requests by whose ends the pace is measured."""
_LONGEST = 60
"""Seconds after which a client is told to come again at most."""


class Admission:
    """Lets requests in while there is room.

    Args:
        limits: of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._clients: Counter[str] = Counter()
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)
        self.under_way = 0
        self.is_stopping = False

    @contextmanager
    def admitted(self, address: str) -> Iterator[None]:
        """Hold a place for a request.

        Raises:
            Refusal: there is none, or the server is about to end.
        """
        if self.is_stopping:
            raise self.stopping()
        client = _client(address)
        if self.under_way >= self._limits.queue:
            words = f"{self.under_way} requests are waiting or being answered, as many as this server takes"
            raise Refusal(words, 429, code="queue_full", after=self._after(self.under_way))
        if self._clients[client] >= self._limits.client_queue:
            words = (
                f"{self._clients[client]} requests of this client are under way, as many as this server takes of one"
            )
            raise Refusal(words, 429, code="client_queue_full", after=self._after(self._clients[client]))
        self.under_way += 1
        self._clients[client] += 1
        try:
            yield
        finally:
            self.under_way -= 1
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            self._ends.append(time.monotonic())

    def stopping(self) -> Refusal:
        """Return the refusal of a server that is about to end."""
        return Refusal("this server is about to end", 503, code="stopping", after=math.ceil(self._limits.grace) + 1)

    def _after(self, ahead: int) -> int:
        """Return in how many seconds half of what is under way will have ended, at the pace of the last requests."""
        if len(self._ends) < 2:
            return 1
        pace = len(self._ends) / max(time.monotonic() - self._ends[0], 1e-3)
        return max(1, min(_LONGEST, math.ceil(ahead / 2 / pace)))


def _client(address: str) -> str:
    """Return whose an address is: of IPv6, a network of 64 bits has one owner."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return address
    return str(known.ipv4_mapped or ipaddress.ip_network((int(known) >> 64 << 64, 64)))
