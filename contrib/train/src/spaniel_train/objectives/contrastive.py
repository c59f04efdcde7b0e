"""InfoNCE and its relatives."""

from __future__ import annotations

import torch
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import InfoNceConfig
from spaniel_train.objectives.groups import LOWEST, GroupObjective, mean_where
from spaniel_train.protocols import Need


class InfoNce(GroupObjective):
    """The cross-entropy of a right text among it and the wrong ones.

    van den Oord et al. (2018), equation 4; with the texts of other rows as wrong ones it is the loss of DPR (Karpukhin et
    al., EMNLP 2020, equation 2), with those of the group alone the localized contrastive loss of Gao et al. (ECIR 2021,
    equation 6). Right texts of a query are never wrong ones for it, whatever row they came with. A query with several
    right texts counts with their mean. The symmetric loss is the mean of both directions (Radford et al., CLIP, 2021,
    figure 3).
    """

    config: InfoNceConfig

    @property
    def needs(self) -> frozenset[Need]:
        """The scores of every query with every text, where other rows count."""
        return frozenset({"matrix"} if self.config.in_batch else ())

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        right = self.config.scale * outputs.scores
        if not self.config.in_batch:
            return mean_where(_entropy(right, right, batch.filled & ~batch.relevant), batch.relevant)
        assert outputs.matrix is not None  # a recipe without it is refused
        matrix = self.config.scale * outputs.matrix
        loss = mean_where(_entropy(right, matrix, batch.wrong), batch.relevant)
        if not self.config.symmetric:
            return loss
        # Of each right text: its query among the queries for which it is wrong.
        columns = batch.groups.clamp(min=0)
        others = torch.where(batch.wrong, matrix, LOWEST).logsumexp(dim=0)[columns]
        back = mean_where(torch.logaddexp(right, others) - right, batch.relevant)
        return (loss + back) / 2


def _entropy(right: Tensor, scores: Tensor, wrong: Tensor) -> Tensor:
    """Of each text of a group as the right one among the wrong ones of its query: ``(queries, width)``."""
    others = torch.where(wrong, scores, LOWEST).logsumexp(dim=1, keepdim=True)
    return torch.logaddexp(right, others) - right
