"""Tokens that a model seems never to have been trained on (Land and Bartolo, Fishing for Magikarp, EMNLP 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from spaniel_omp_tokenizer.vocabulary import Vocabulary

QUANTILE = 0.01
_SURE = 0.5
"""Cosine to the mean unused vector up to which a token is never suspected."""
_UNUSED = ("unused_token", "reserved_special_token")


def undertrained(vocabulary: Vocabulary, inputs: Tensor, outputs: Tensor | None) -> set[int]:
    """Return the ids of rows that seem untrained.

    Rows without a token and tokens that are called unused or reserved are. So are those with an input vector in the shortest
    1 %, where the model has outputs of its own, and those whose vectors resemble the mean unused one: a cosine above 0.5 and
    in the highest 1 %.

    Args:
        inputs: ``(rows, dimensions)``.
        outputs: the same of the output matrix; ``None`` where there is none of its own.
    """
    unused = set(range(len(inputs))) - set(vocabulary.keys)
    unused |= {number for number, token in vocabulary.written.items() if any(name in token for name in _UNUSED)}
    bad = set(unused)
    if outputs is not None:
        lengths = inputs.float().norm(dim=1)
        bad |= set((lengths < _quantile(lengths, QUANTILE)).nonzero()[:, 0].tolist())
    if unused:
        rows = torch.tensor(sorted(unused))
        for matrix in (inputs, *(() if outputs is None else (outputs,))):
            mean = matrix[rows].float().mean(0)
            cosines = torch.nn.functional.cosine_similarity(matrix.float(), mean[None], dim=1)
            limit = max(_quantile(cosines, 1 - QUANTILE), _SURE)
            bad |= set((cosines > limit).nonzero()[:, 0].tolist())
    return bad


def _quantile(values: Tensor, share: float) -> float:
    """Return the value at a share of the order, interpolated; torch's own refuses more than 16 million."""
    ordered = values.sort().values
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
