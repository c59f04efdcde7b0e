"""An opened inverted index with scores."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from spaniel import Run, UsageError
from spaniel.contents import open_array, require
from spaniel.store import Artifact

from spaniel_impacts.plain import is_little, sweep_plainly, unpack

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_impacts.bounds import Bounds

BATCH = 2048
"""Queries searched at once, at most."""

RETURNED = 2**22
"""Entries returned for a batch of queries, at most, of eight bytes each; one query may have more."""

_NOTHING = (np.zeros(2, np.int64), np.empty(0, np.int32), None, np.zeros(1, np.float32), None, 1)
"""One query without a term, for :func:`spaniel_impacts.sweep.sweep`."""

Search = Literal["sweep", "maxscore"]

EACH, SHARE, TERMS = 5000, 0.5, 8
"""MaxScore was measured to be the faster from so many documents on for each one that is retrieved, where the terms of a query
have at least so many postings a document, and are at most so many."""


@dataclass(frozen=True, eq=False)
class Postings:
    """For each term the documents that hold it, with its impacts there; memory-mapped where it was opened from disk.

    Attributes:
        indptr: ``(terms + 1,)`` int64; the postings of term ``t`` are ``indptr[t]:indptr[t + 1]``.
        indices: ``(postings,)`` int32 rows, ascending within a term.
        data: ``(postings,)`` impacts, +0.0 or more: float32, or uint8 in steps of each term's own.
        documents: how many documents there are.
        bounds: ``(terms,)`` float32, the greatest impact of each term, by which queries may be arranged.
        steps: ``(terms,)`` float32, what an impact of 1 stands for, where impacts are uint8.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[Any]
    documents: int
    bounds: NDArray[np.float32] | None = None
    steps: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        fits = self.indptr.dtype == np.int64 and self.indices.dtype == np.int32 and self.indptr.ndim == 1
        fits = fits and self.data.dtype == (np.float32 if self.steps is None else np.uint8)
        fits = fits and self.indices.shape == self.data.shape == (self.indptr[-1],)
        if not fits:
            raise UsageError(
                "postings are int64 bounds, int32 rows, and as many float32 (or, with steps, uint8) impacts"
            )

    @classmethod
    def open(cls, artifact: Artifact, documents: int) -> Postings:
        """Open the postings that :mod:`spaniel_impacts.building` wrote, memory-mapped.

        Those that were not built here are looked through first, by :func:`spaniel_impacts.checking.check_postings`.

        Raises:
            ArtifactError: there are none, or they are damaged.
        """

        def read(name: str, dtype: Any, size: int | None) -> NDArray[Any]:
            return open_array(artifact.file(f"{name}.npy"), dtype, (size,))

        indptr = read("indptr", np.int64, None)
        require(len(indptr) > 0, artifact.path / "indptr.npy", "is empty")
        terms, postings = len(indptr) - 1, int(indptr[-1])
        require(postings >= 0, artifact.path / "indptr.npy", "ends below 0")
        optional = {
            name: read(name, np.float32, terms) for name in ("bounds", "steps") if f"{name}.npy" in artifact.files
        }
        data = read("data", np.uint8 if "steps" in optional else np.float32, postings)
        return cls(indptr, read("indices", np.int32, postings), data, documents, **optional)

    def __len__(self) -> int:
        return self.documents

    @property
    def terms(self) -> int:
        """Size of the vocabulary."""
        return len(self.indptr) - 1

    @cached_property
    def limits(self) -> Bounds:
        """What terms add at most, found as they are asked for."""
        from spaniel_impacts.bounds import Bounds

        return Bounds(self.indptr, self.indices, self.data, self.documents)

    def impact(self, term: int, row: int) -> float:
        """Return the impact of a term in a document, 0 where the document lacks it."""
        begin, end = self.indptr[term], self.indptr[term + 1]
        at = begin + np.searchsorted(self.indices[begin:end], row)
        if at == end or self.indices[at] != row:
            return 0.0
        return float(self.data[at]) * (1.0 if self.steps is None else float(self.steps[term]))

    def search(
        self,
        offsets: NDArray[np.int64],
        terms: NDArray[np.int32],
        k: int,
        *,
        weights: NDArray[np.float32] | None = None,
        constants: NDArray[np.float32] | None = None,
        allowed: NDArray[np.bool_] | None = None,
        method: Search = "sweep",
    ) -> Run:
        """Return the ``k`` best documents of each query that hold at least one of its terms, exactly.

        Scores are added up in float32 in the order of a query's terms. MaxScore gives the same run, bit for bit; it saves
        work where the terms that add most come first.

        Args:
            offsets: ``(queries + 1,)``; the terms of query ``q`` are ``offsets[q]:offsets[q + 1]``.
            terms: term numbers; one that comes twice counts twice.
            k: how many documents; a list is shorter where fewer match.
            weights: of the terms, 0 or more, by which impacts are multiplied; all 1 where not given.
            constants: ``(queries,)`` 0 or more, added to every score of a query; the sweep alone takes them.
            allowed: ``(n,)`` bool, which documents may be found; those past its end may not.
            method: ``"sweep"`` or ``"maxscore"``; :func:`choose` says which was measured to be the faster.

        Raises:
            UsageError: the mask is no array of booleans, or the method is not given what it needs.
        """
        if allowed is not None:
            allowed = _mask(allowed, self.documents)
        if method == "maxscore" and constants is not None:
            raise UsageError("MaxScore takes no constants")
        if self.steps is not None:
            weights = self.steps[terms] if weights is None else weights * self.steps[terms]
        queries = len(offsets) - 1
        width = min(k, self.documents)
        if width < 1:
            return Run.empty(queries)
        if constants is None:
            constants = np.zeros(queries, np.float32)
        batch = max(1, min(BATCH, RETURNED // width))
        runs = []
        parts: tuple[Any, ...]
        for start in range(0, queries, batch):
            end = min(start + batch, queries)
            keys = np.full((end - start, width), -1, np.int64)
            asked = offsets[start : end + 1]
            if method == "sweep":
                parts = (asked, terms, weights, constants[start:end], allowed, self.documents)
                if is_little((end - start) * self.documents):
                    sweep_plainly(self.indptr, self.indices, self.data, *parts, keys)
                    runs.append(Run.from_matrix(*unpack(keys)))
                    continue
                _share(end - start, partial(self._sweep, parts, keys))
            else:
                factors = np.ones(len(terms), np.float32) if weights is None else weights
                kth = self.limits.prepare(terms[asked[0] : asked[-1]], width)
                parts = (kth, asked, terms, factors, allowed, self.documents)
                _share(end - start, partial(self._maxscore, parts, keys))
            runs.append(Run.from_matrix(*unpack(keys)))
        return Run.concatenate(runs)

    def load(self, context: Context, queries: int) -> None:
        """Load what is compiled, as a stage of its own, unless numpy is soon done with so many queries."""
        if "spaniel_impacts.sweep" not in sys.modules and not is_little(queries * self.documents):
            with context.stage("load compiled search", phase="load"):
                self._sweep(_NOTHING, np.full((1, 1), -1, np.int64), 0, 1)

    def _sweep(self, parts: tuple[Any, ...], out: NDArray[np.int64], first: int, step: int) -> None:
        from spaniel_impacts.sweep import sweep  # compiled: loaded where it is needed

        kernel: Any = sweep
        kernel(self.indptr, self.indices, self.data, *parts, first, step, out)

    def _maxscore(self, parts: tuple[Any, ...], out: NDArray[np.int64], first: int, step: int) -> None:
        from spaniel_impacts.pruning import maxscore

        known = self.limits
        limits = known.greatest, known.place, known.maxima, known.starts
        kernel: Any = maxscore
        kernel(self.indptr, self.indices, self.data, *limits, *parts, first, step, out)


def choose(postings: Postings, terms: NDArray[np.int32], queries: int, k: int) -> Search:
    """Return how ``k`` documents are searched for, by so many queries of these terms; both ways find the same.

    The sweep reads every posting, and much faster than MaxScore reads those that it needs.
    """
    if len(postings) < EACH * k or len(terms) > TERMS * queries:
        return "sweep"
    held = int((postings.indptr[terms + 1] - postings.indptr[terms]).sum())
    return "maxscore" if held >= SHARE * queries * len(postings) else "sweep"


def _mask(allowed: NDArray[np.bool_], documents: int) -> NDArray[np.bool_]:
    if allowed.dtype != np.bool_ or allowed.ndim != 1:
        raise UsageError(f"`allowed` is a flat array of booleans, not {allowed.dtype} {allowed.shape}")
    mask = np.zeros(documents, np.bool_)
    mask[: len(allowed)] = allowed[:documents]
    return mask


def _share(queries: int, work: Callable[[int, int], None]) -> None:
    """Let threads share queries; each is told the first of its own, and how far it is to the next."""
    import numba

    settings: Any = numba.config
    threads = min(settings.NUMBA_NUM_THREADS, queries)
    # Threads of Python's own: those of numba's parallel loops do not survive a fork, nor, on some systems, each other.
    if threads <= 1:
        work(0, 1)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda first: work(first, threads), range(threads)))
