"""What objectives over groups share: grades, pairs, and means that leave out what is filled up."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.protocols import Need

Grades = Literal["relevant", "teacher"]
LOWEST = torch.finfo(torch.float32).min
"""Stands for minus infinity where a gradient is taken: a row in which all is masked then has none, in place of NaN."""


class GroupObjective:
    """An objective with options; those whose grades are the teacher's need its scores."""

    def __init__(self, config: Any, context: Any) -> None:
        self.config = config

    @property
    def needs(self) -> frozenset[Need]:
        """The teacher's scores, where the option says so."""
        return frozenset({"teacher"} if getattr(self.config, "grades", "") == "teacher" else ())


def grades(batch: Batch, which: Grades) -> tuple[Tensor, Tensor]:
    """Return grades, ``(queries, width)`` float32, and where they count, bool; 0 where they do not."""
    if which == "relevant":
        return batch.relevant.float(), batch.filled
    counts = batch.filled & ~batch.teacher.isnan()
    return batch.teacher.nan_to_num(0.0), counts


def ordered_pairs(values: Tensor, counts: Tensor) -> Tensor:
    """Return which pairs of texts are ordered: ``(queries, width, width)`` bool, the first one's grade is higher."""
    return (values[:, :, None] > values[:, None, :]) & counts[:, :, None] & counts[:, None, :]


def differences(outputs: Outputs) -> Tensor:
    """Return the score of each text less that of each other: ``(queries, width, width)``."""
    return outputs.scores[:, :, None] - outputs.scores[:, None, :]


def mean_where(losses: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over the queries of the mean of what counts of each: a scalar.

    Args:
        losses: ``(queries, …)``.
        counts: bool, of the same shape.
    """
    flat = torch.where(counts, losses, 0.0).flatten(1).sum(dim=1)
    return (flat / counts.flatten(1).sum(dim=1).clamp(min=1)).mean()
