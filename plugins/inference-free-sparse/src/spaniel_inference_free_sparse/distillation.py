"""Learning from teachers that run while the model is trained."""

from __future__ import annotations

from functools import cached_property

import torch
from spaniel import Context
from spaniel_train.batch import Batch, Outputs
from spaniel_train.protocols import Need
from torch import Tensor

from spaniel_inference_free_sparse.config import EnsembleObjectiveConfig
from spaniel_inference_free_sparse.objectives import LOWEST
from spaniel_inference_free_sparse.teacher import Ensemble


class EnsembleDistillation:
    """The divergence from an ensemble's distribution over the candidates, or the squared error of its margins.

    With ``in_batch`` the candidates of every query are all texts of the batch (the reference's ``kd-ensemble``), whose
    teacher scores no file can hold, since they depend on the batch. Teachers are frozen; their vectors of texts are made
    once. The margins are those to a query's own first right text (the reference takes the batch's first text for all).
    """

    def __init__(self, config: EnsembleObjectiveConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @property
    def needs(self) -> frozenset[Need]:
        """The scores of every query with every text, where other rows count."""
        return frozenset({"matrix"} if self.config.in_batch else ())

    @cached_property
    def ensemble(self) -> Ensemble:
        """The teachers."""
        return Ensemble(self.context, self.config)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        texts = len(batch.texts)
        columns = batch.groups.clamp(min=0)
        candidates = torch.ones_like(batch.wrong)
        if not self.config.in_batch:
            own = torch.nn.functional.one_hot(torch.where(batch.filled, columns, texts), texts + 1)
            candidates = own.sum(dim=1)[:, :texts] > 0
        asked = [row.instruction + row.query for row in batch.rows]
        made = self.ensemble.matrix(asked, batch.texts, candidates.cpu().numpy())
        teacher = torch.from_numpy(made).to(outputs.scores.device) / self.config.temperature
        if self.config.in_batch:
            assert outputs.matrix is not None  # a recipe without it is refused
            student, counts = outputs.matrix / self.config.temperature, candidates
        else:
            student, counts = outputs.scores / self.config.temperature, batch.filled
            teacher = teacher.gather(1, columns)
        if self.config.loss == "kl":
            return divergence(student, teacher, counts)
        first = batch.relevant.int().argmax(dim=1, keepdim=True)
        if self.config.in_batch:
            first = columns.gather(1, first)
        rest = counts.clone().scatter_(1, first, False)
        wanted = teacher.gather(1, first) - teacher
        error = (student.gather(1, first) - student - wanted) ** 2
        return torch.where(rest, error, 0.0).sum() / rest.sum().clamp(min=1)


def divergence(student: Tensor, teacher: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over rows of Σ softmax(teacher) · (log softmax(teacher) - log softmax(student)), a scalar."""
    wanted = torch.where(counts, teacher, LOWEST).log_softmax(dim=1)
    made = torch.where(counts, student, LOWEST).log_softmax(dim=1)
    return torch.where(counts, wanted.exp() * (wanted - made), 0.0).sum(dim=1).mean()
