"""MaxSim of pairs of rows, ragged, in padded batches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import MultiVectors

_NUMBERS = 2**22
"""Numbers of the documents' vectors in a batch, padding included."""


def pair_similarity(
    queries: MultiVectors,
    documents: MultiVectors,
    query: NDArray[np.int64],
    document: NDArray[np.int64],
    device: torch.device,
) -> NDArray[np.float32]:
    """Return, for each pair of a query's row and a document's, the sum over the query's vectors of the largest inner
    product with one of the document's: ``(pairs,)`` float32, 0 where either has none.

    It is :meth:`spaniel.data.MultiVectors.maxsim` of chosen pairs. Source: Khattab and Zaharia (ColBERT), SIGIR 2020,
    equation 3.

    Raises:
        UsageError: the vectors have other dimensions.
    """
    width = queries.values.shape[1]
    if width != documents.values.shape[1]:
        raise UsageError(f"vectors of {width} and {documents.values.shape[1]} dimensions do not compare")
    asked, held = _tensor(queries, device), _tensor(documents, device)
    mine, theirs = np.diff(queries.offsets)[query], np.diff(documents.offsets)[document]
    scores = np.zeros(len(query), np.float32)
    # Alike in length, and pairs of one document side by side.
    order = np.lexsort((document, mine, -theirs))
    order = order[(mine[order] > 0) & (theirs[order] > 0)]
    start = 0
    while start < len(order):
        longest = int(theirs[order[start]])
        batch = order[start : start + max(1, _NUMBERS // (longest * width))]
        start += len(batch)
        left, left_pad = _gather(asked, queries.offsets, query[batch], mine[batch])
        right, right_pad = _gather(held, documents.offsets, document[batch], theirs[batch])
        product = torch.bmm(left, right.transpose(1, 2))
        best = product.masked_fill(right_pad[:, None, :], -torch.inf).amax(dim=2)
        scores[batch] = best.masked_fill(left_pad, 0.0).sum(dim=1).cpu().numpy()
    return scores


def _tensor(vectors: MultiVectors, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(vectors.values, np.float32)).to(device)


def _gather(
    values: torch.Tensor, offsets: NDArray[np.int64], rows: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vectors of rows, padded, ``(rows, longest, dimensions)``, and where they are filled up."""
    columns = np.arange(int(lengths.max()))
    padding = columns >= lengths[:, None]
    place = np.where(padding, 0, offsets[:-1][rows, None] + columns)
    return values[torch.from_numpy(place).to(values.device)], torch.from_numpy(padding).to(values.device)
