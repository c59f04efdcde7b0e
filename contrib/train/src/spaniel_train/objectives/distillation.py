"""Losses that make a model score as a teacher does; texts without a teacher's score are left out."""

from __future__ import annotations

import torch
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import KlConfig
from spaniel_train.objectives.groups import LOWEST, GroupObjective, differences, grades, mean_where
from spaniel_train.protocols import Need


class _Distillation(GroupObjective):
    @property
    def needs(self) -> frozenset[Need]:
        """The teacher's scores."""
        return frozenset({"teacher"})


class MarginMse(_Distillation):
    """The squared error of the margins between right and wrong texts (Hofstätter et al., 2020, equation 8)."""

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries of the mean over their pairs, a scalar."""
        teacher, counts = grades(batch, "teacher")
        pairs = (batch.relevant & counts)[:, :, None] & (~batch.relevant & counts)[:, None, :]
        wanted = teacher[:, :, None] - teacher[:, None, :]
        return mean_where((differences(outputs) - wanted) ** 2, pairs)


class Kl(_Distillation):
    """The Kullback-Leibler divergence of the model's distribution over a group from the teacher's.

    Both are softmaxes of scores over the temperature; the loss is multiplied with its square, so that gradients keep their
    size (Hinton et al., 2015, section 2).
    """

    config: KlConfig

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        teacher, counts = grades(batch, "teacher")
        heat = self.config.temperature
        wanted = torch.where(counts, teacher / heat, LOWEST).log_softmax(dim=1)
        made = torch.where(counts, outputs.scores / heat, LOWEST).log_softmax(dim=1)
        terms = torch.where(counts, wanted.exp() * (wanted - made), 0.0)
        return heat**2 * terms.sum(dim=1).mean()


class Mse(_Distillation):
    """The squared error of the scores themselves, before any activation (Ba and Caruana, 2014, equation 1)."""

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries of the mean over their texts, a scalar."""
        teacher, counts = grades(batch, "teacher")
        return mean_where((outputs.scores - teacher) ** 2, counts)
