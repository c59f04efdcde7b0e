"""How many threads search: one setting for every engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba


def threads() -> int:
    """Return how many threads to search with: those of ``NUMBA_NUM_THREADS``, of ``OMP_NUM_THREADS`` if fewer, else all."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(int(given), most)) if given.isdecimal() and int(given) else most


def in_threads(work: Callable[[slice], None], count: int, step: int, most: int | None = None) -> None:
    """Do work on slices of ``count`` things, at most ``step`` at once, in threads where there are several slices."""
    workers = min(threads() if most is None else most, count)
    step = max(1, min(step, -(-count // max(workers, 1))))
    parts = [slice(start, min(start + step, count)) for start in range(0, count, step)]
    if workers <= 1 or len(parts) == 1:
        for part in parts:
            work(part)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, parts))
