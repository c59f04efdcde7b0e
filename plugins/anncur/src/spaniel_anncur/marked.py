"""Pairs read together, and compared by the vectors at their markers ([EMB]-CE; Yadav et al., EMNLP 2022, §2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_neural.batching import Tokens
from torch import Tensor


class Pairs(NamedTuple):
    """Tokens of pairs, ``[CLS] m0 query m1 [SEP] m2 document [SEP]``.

    Attributes:
        tokens: of the pairs.
        places: ``(pairs, 3)`` int64, where the markers stand.
    """

    tokens: Tokens
    places: NDArray[np.int64]


def marker_ids(tokenizer: Any, markers: Sequence[str]) -> list[int]:
    """Return the numbers of marker tokens.

    Raises:
        UsageError: one is no token of the vocabulary, or two are the same.
    """
    vocabulary = tokenizer.get_vocab()
    for marker in markers:
        if marker not in vocabulary:
            raise UsageError(f"markers: {marker!r} is no token of this model's vocabulary; choose three that are")
    if len(set(markers)) < len(markers):
        raise UsageError(f"markers: {', '.join(markers)} must be three different tokens")
    return [int(vocabulary[marker]) for marker in markers]


def mark_pairs(
    tokenizer: Any, markers: Sequence[int], queries: Sequence[str], texts: Sequence[str], max_length: int
) -> Pairs:
    """Return the tokens of pairs; queries get half of the length at most, documents what is left.

    Raises:
        UsageError: the tokenizer has no tokens that begin and separate texts.
    """
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    if begin is None or end is None:
        raise UsageError("this model's tokenizer has no [CLS] and [SEP]; pairs are read by models that have them")
    asked, told = (
        dict(zip(distinct, tokenizer(distinct, add_special_tokens=False, verbose=False)["input_ids"], strict=True))
        if (distinct := list(dict.fromkeys(given)))
        else {}
        for given in (queries, texts)
    )
    most = (max_length - 6) // 2
    rows, places, types = [], [], []
    for query, text in zip(queries, texts, strict=True):
        left = asked[query][:most]
        right = told[text][: max_length - 6 - len(left)]
        rows.append([begin, markers[0], *left, markers[1], end, markers[2], *right, end])
        places.append((1, len(left) + 2, len(left) + 4))
        types.append((len(left) + 4, len(right) + 2))
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    typed = None
    if "token_type_ids" in tokenizer.model_input_names:
        # One 0 for each token of a query's side, one 1 for each of a document's.
        counts = np.array(types, np.int64).reshape(-1)
        typed = np.repeat(np.tile(np.array([0, 1]), len(types)), counts)
    ids = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    return Pairs(Tokens(ids, lengths, typed), np.array(places, np.int64).reshape(-1, 3))


def compare_markers(hidden: Tensor, places: Tensor) -> Tensor:
    """Return ``(h[m0] + h[m1]) / 2 · h[m2]``, ``(pairs,)``, with gradients to both sides.

    Args:
        hidden: ``(pairs, tokens, dimensions)``, of the last layer.
        places: ``(pairs, 3)`` int64.
    """
    rows = torch.arange(len(hidden), device=hidden.device)
    first, second, third = (hidden[rows, places[:, number]] for number in range(3))
    return ((first + second) / 2 * third).sum(dim=1)
