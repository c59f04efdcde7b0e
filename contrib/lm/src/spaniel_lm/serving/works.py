"""Answers in the making, which requests under one idempotency key share, and those made lately."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

from spaniel_lm.serving.refusal import Refusal

_ENTRIES = 1024
"""Answers kept at most."""
_BYTES = 2**26
"""Bytes of them at most."""
_SECONDS = 600.0
"""Seconds for which they are kept."""


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    headers: dict[str, str]


class Work:
    """An answer in the making, which ends when nobody waits for it.

    Args:
        making: what makes it.
    """

    def __init__(self, making: Coroutine[Any, Any, Reply]) -> None:
        self.task = asyncio.ensure_future(making)
        self._waiting = 0

    @property
    def is_dropped(self) -> bool:
        """Whether it was ended before it was made."""
        return self.task.cancelled() or bool(self.task.cancelling())

    async def wait(self, gone: asyncio.Future[None]) -> Reply | None:
        """Return the answer; ``None`` where the client is gone first."""
        self._waiting += 1
        try:
            both: set[asyncio.Future[Any]] = {self.task, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            return self.task.result() if self.task.done() else None
        finally:
            self._waiting -= 1
            if not self._waiting and not self.task.done():
                self.task.cancel()


@dataclass(eq=False)
class _Kept:
    digest: bytes
    work: Work
    since: float
    size: int = 0


class Works:
    """Works by idempotency key, as many and as long as there is room; what has failed is not kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def find(self, key: str, digest: bytes) -> Work | None:
        """Return what a key stands for, if anything.

        Raises:
            Refusal: it stands for another request.
        """
        self._shrink()
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.work.is_dropped:
            self._forget(key)
            return None
        if kept.digest != digest:
            raise Refusal("the Idempotency-Key was used for another request", 422, code="idempotency_key_reused")
        return kept.work

    def keep(self, key: str, digest: bytes, work: Work) -> None:
        """Keep a work under a key."""
        kept = self._kept[key] = _Kept(digest, work, time.monotonic())
        work.task.add_done_callback(lambda task: self._done(key, kept))
        self._shrink()

    def _done(self, key: str, kept: _Kept) -> None:
        if self._kept.get(key) is not kept:
            return
        task = kept.work.task
        if task.cancelled() or task.exception() is not None or task.result().status != 200:
            self._forget(key)
            return
        kept.since, kept.size = time.monotonic(), len(task.result().body)
        self._bytes += kept.size
        self._kept.move_to_end(key)
        self._shrink()

    def _shrink(self) -> None:
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            is_old = kept.work.task.done() and time.monotonic() - kept.since > _SECONDS
            if not is_old and len(self._kept) <= _ENTRIES and self._bytes <= _BYTES:
                return
            self._forget(key)

    def _forget(self, key: str) -> None:
        self._bytes -= self._kept.pop(key).size
