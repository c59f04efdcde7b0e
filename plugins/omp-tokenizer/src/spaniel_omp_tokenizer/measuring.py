"""How good a model with exchanged token vectors is: bits per byte of text, bits of sums, and retrieval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Split = Callable[[str], list[int]]
"""Text → ids, without special tokens."""


def bits(
    model: Any, first: int, texts: Sequence[Sequence[int]], counted: Sequence[Sequence[bool]] | None = None
) -> float:
    """Return the bits that a causal model spends on texts, in all.

    Args:
        first: the token before each text.
        texts: their ids.
        counted: which tokens count; by default all.
    """
    total = 0.0
    for number, ids in enumerate(texts):
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([[first, *ids[:-1]]])).logits[0].float()
        spent = torch.nn.functional.cross_entropy(scores, torch.tensor(list(ids)), reduction="none")
        if counted is not None:
            spent = spent[torch.tensor(list(counted[number]))]
        total += float(spent.double().sum()) / math.log(2)
    return total


def bits_per_byte(model: Any, first: int, texts: Sequence[str], split: Split) -> float:
    """Return the bits a byte that a causal model spends on texts; it does not depend on how tokens are counted."""
    return bits(model, first, [split(text) for text in texts]) / sum(len(text.encode()) for text in texts)


def bits_per_sum(model: Any, first: int, sums: Sequence[tuple[int, int]], split: Split, shots: int = 5) -> float:
    """Return the bits that a causal model spends on the result of an addition, the first few being examples."""
    ids: list[int] = []
    counted: list[bool] = []
    for number, (a, b) in enumerate(sums):
        for text, answer in ((f" {a} + {b} =", False), (f" {a + b}", True), (" ,", False)):
            part = split(text)
            ids += part
            counted += [answer and number >= shots] * len(part)
    return bits(model, first, [ids], [counted]) / (len(sums) - shots)


def sentence_vectors(
    model: Any, tokenizer: Any, texts: Sequence[str], length: int, batch: int = 16
) -> NDArray[np.float32]:
    """Return the mean of each text's last token vectors, of length 1: ``(texts, dimensions)``."""
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    made: list[Tensor | None] = [None] * len(texts)
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        said = tokenizer(
            [texts[at] for at in places], padding=True, truncation=True, max_length=length, return_tensors="pt"
        )
        with torch.no_grad():
            tokens = model(**said).last_hidden_state
        mask = said["attention_mask"][..., None]
        vectors = torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=1)
        for at, vector in zip(places, vectors, strict=True):
            made[at] = vector
    result: NDArray[np.float32] = torch.stack([vector for vector in made if vector is not None]).numpy()
    return result
