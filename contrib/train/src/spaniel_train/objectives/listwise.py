"""Losses over whole groups."""

from __future__ import annotations

import torch
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import ListConfig
from spaniel_train.objectives.groups import LOWEST, GroupObjective, grades


class ListNet(GroupObjective):
    """The cross-entropy of two distributions over which text comes first: softmax of the grades, softmax of the scores.

    Cao et al. (2007), section 4.3, with top one probabilities.
    """

    config: ListConfig

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        values, counts = grades(batch, self.config.grades)
        wanted = torch.where(counts, values, LOWEST).softmax(dim=1)
        made = torch.where(counts, self.config.scale * outputs.scores, LOWEST).log_softmax(dim=1)
        return -torch.where(counts, wanted * made, 0.0).sum(dim=1).mean()


class ListMle(GroupObjective):
    """The negative log-likelihood of the order by grades, of equal grades the earlier place first (Plackett and Luce).

    Xia et al. (2008), equation 9: the sum over places of log Σ exp of the scores from there on, less the score.
    """

    config: ListConfig

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        values, counts = grades(batch, self.config.grades)
        order = torch.where(counts, values, -torch.inf).argsort(dim=1, descending=True, stable=True)
        counts = counts.gather(1, order)
        scores = torch.where(counts, self.config.scale * outputs.scores.gather(1, order), LOWEST)
        left = scores.flip(1).logcumsumexp(dim=1).flip(1)
        return torch.where(counts, left - scores, 0.0).sum(dim=1).mean()
