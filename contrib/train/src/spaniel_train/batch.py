"""What an objective sees: a batch of training rows, and what the model made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from spaniel_train.rows import Row, score_keys


class Known(Protocol):
    """Query → every text that some row says answers it; a dictionary is one."""

    def get(self, query: str, default: frozenset[str], /) -> frozenset[str]:
        """Return the texts, or ``default``."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Training rows with the texts drawn from them.

    The texts of a row are its group: positives first, then negatives. Groups of unlike size are filled up.

    Attributes:
        rows: the rows, one a query.
        texts: the distinct texts of all groups.
        groups: ``(queries, width)`` int64, places in ``texts``; -1 where a group is filled up.
        relevant: ``(queries, width)`` bool, which texts of a group answer its query.
        wrong: ``(queries, texts)`` bool, which texts of the batch may count as wrong for a query: all but those that any
            row of the data says answer it. So the same text, or the same query, that comes twice is never held against
            itself.
        teacher: ``(queries, width)`` float32, the teacher's scores; NaN where it has none.
        seed: of whatever is drawn for the batch beside its texts, such as what is masked.
    """

    rows: tuple[Row, ...]
    texts: tuple[str, ...]
    groups: Tensor
    relevant: Tensor
    wrong: Tensor
    teacher: Tensor
    seed: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def filled(self) -> Tensor:
        """Which places of the groups hold a text: ``(queries, width)`` bool."""
        return self.groups >= 0

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on a device."""
        names = ("groups", "relevant", "wrong", "teacher")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a model made of a batch; all float32.

    Attributes:
        scores: ``(queries, width)``, of each text of a group with its query; 0 where the group is filled up.
        matrix: ``(queries, texts)``, of every query with every text; ``None`` of models that read pairs.
        queries: ``(queries, dimensions)``, their vectors, before any scaling that the similarity does; ``None`` as well.
        texts: ``(texts, dimensions)``.
        more: what only some kinds of models give, by the words that objectives need it by.
    """

    scores: Tensor
    matrix: Tensor | None = None
    queries: Tensor | None = None
    texts: Tensor | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def draw(row: Row, positives: int, negatives: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Draw so many positives and negatives of a row, without replacement; fewer where it has fewer."""
    chosen = []
    for texts, count in ((row.positives, positives), (row.negatives, negatives)):
        distinct = list(dict.fromkeys(texts))
        places = np.sort(rng.permutation(len(distinct))[:count])
        chosen.append([distinct[place] for place in places.tolist()])
    return chosen[0], chosen[1]


def collate(
    rows: Sequence[Row], known: Known, positives: int, negatives: int, rng: np.random.Generator, seed: int = 0
) -> Batch:
    """Make a batch of rows.

    Args:
        known: what answers each query, by all rows of the data.
        positives, negatives: texts drawn of each row, at most.
        rng: draws them.
        seed: of what is drawn later.
    """
    drawn = [draw(row, positives, negatives, rng) for row in rows]
    places: dict[str, int] = {}
    for right, wrong in drawn:
        for text in (*right, *wrong):
            places.setdefault(text, len(places))
    width = max(len(right) + len(wrong) for right, wrong in drawn)
    groups = np.full((len(rows), width), -1, np.int64)
    relevant = np.zeros((len(rows), width), bool)
    allowed = np.ones((len(rows), len(places)), bool)
    teacher = np.full((len(rows), width), np.nan, np.float32)
    for number, (row, (right, wrong)) in enumerate(zip(rows, drawn, strict=True)):
        texts = [*right, *wrong]
        groups[number, : len(texts)] = [places[text] for text in texts]
        relevant[number, : len(right)] = True
        answers = known.get(row.query, frozenset()).union(row.positives)
        allowed[number, [places[text] for text in answers if text in places]] = False
        if row.scores:
            teacher[number, : len(texts)] = [row.scores.get(key, np.nan) for key in score_keys(row.query, texts)]
    tensors = (
        torch.from_numpy(groups),
        torch.from_numpy(relevant),
        torch.from_numpy(allowed),
        torch.from_numpy(teacher),
    )
    return Batch(tuple(rows), tuple(places), *tensors, seed)
