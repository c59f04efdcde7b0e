"""One pass over postings that were not built here; see :meth:`spaniel.protocols.Indexer.check`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from spaniel.contents import require, require_finite, require_offsets, require_range
from spaniel.store import Artifact

from spaniel_impacts.postings import Postings

ROW, IMPACT = 1, 2
"""What can be wrong with the postings of a term: their rows do not ascend from 0 up, or an impact is none."""

_MOST = np.float32(np.finfo(np.float32).max).view(np.int32).item()


def check_postings(artifact: Artifact, documents: int, arrays: set[str]) -> Postings:
    """Check that postings can be searched without reading or writing out of bounds, and that their bounds are true.

    Each number is read once, at about the speed of memory.

    Args:
        artifact: what holds them.
        documents: how many documents there are.
        arrays: names of the arrays that such an index has, all of them fields of :class:`Postings`.

    Raises:
        ArtifactError: a number is out of bounds; the message names the file.
    """
    held = {name for name in ("indptr", "indices", "data", "bounds", "steps") if f"{name}.npy" in artifact.files}
    require(held == arrays, artifact.path, f"holds {', '.join(sorted(held))}, not {', '.join(sorted(arrays))}")
    postings = Postings.open(artifact, documents)
    require_offsets(postings.indptr, len(postings.indices), artifact.path / "indptr.npy")
    if postings.steps is not None:
        where = artifact.path / "steps.npy"
        require_finite(postings.steps, where)
        require_range(postings.steps, float(np.finfo(np.float32).smallest_subnormal), np.inf, where)
    # The bits of numbers from +0.0 to the greatest are in their order, those of others before or behind.
    values = postings.data.view(np.int32) if postings.data.dtype == np.float32 else postings.data
    most = _MOST if postings.steps is None else 255
    greatest = np.zeros(postings.terms, values.dtype)
    fault, term = _look(postings.indptr, postings.indices, values, documents, most, greatest)
    require(
        fault != ROW, artifact.path / "indices.npy", f"holds rows of term {term} that do not rise below {documents}"
    )
    require(
        fault != IMPACT, artifact.path / "data.npy", f"holds an impact of term {term} that is below 0 or not finite"
    )
    if postings.bounds is not None:
        true = greatest.view(np.float32) if postings.steps is None else greatest
        where = artifact.path / "bounds.npy"
        require(np.array_equal(postings.bounds, true), where, "holds bounds that are not the greatest impacts")
    return postings


@njit(cache=True, nogil=True)
def _look(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[Any],
    documents: int,
    most: int,
    greatest: NDArray[Any],
) -> tuple[int, int]:
    """Return 0 and -1, or what is wrong and the first term where it is.

    Args:
        indptr: offsets that rise from 0 to the number of postings.
        indices: rows.
        values: impacts, as whole numbers whose order is theirs.
        documents: what rows are below.
        most: the greatest impact.
        greatest: ``(terms,)`` zeros; receives the greatest impact of each term.
    """
    for term in range(len(indptr) - 1):
        begin, end = indptr[term], indptr[term + 1]
        if begin == end:
            continue
        rows, impacts = indices[begin:end], values[begin:end]
        falls = 0
        for at in range(1, len(rows)):
            falls += rows[at] <= rows[at - 1]
        if falls or rows[0] < 0 or rows[len(rows) - 1] >= documents:
            return ROW, term
        least, highest = impacts[0], impacts[0]
        for impact in impacts:
            least, highest = min(least, impact), max(highest, impact)
        if least < 0 or highest > most:
            return IMPACT, term
        greatest[term] = highest
    return 0, -1
