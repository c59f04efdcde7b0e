"""Losses over pairs of texts of a group."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import HingeConfig, LambdaRankConfig, RankNetConfig, TripletConfig
from spaniel_train.objectives.groups import LOWEST, GroupObjective, differences, grades, mean_where, ordered_pairs
from spaniel_train.protocols import Need


class Triplet(GroupObjective):
    """Wrong texts are further away than right ones, by the margin, or cost what they lack.

    Schroff et al. (2015), equation 3, with distances in place of their squares, as sentence-transformers' ``TripletLoss``.
    """

    config: TripletConfig

    @property
    def needs(self) -> frozenset[Need]:
        """The vectors."""
        return frozenset({"vectors"})

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries of the mean over their pairs, a scalar."""
        assert outputs.queries is not None  # a recipe without them is refused
        assert outputs.texts is not None
        texts, queries = outputs.texts[batch.groups.clamp(min=0)], outputs.queries[:, None, :]
        if self.config.distance == "euclidean":
            far = functional.pairwise_distance(queries, texts)
        else:
            far = 1 - functional.cosine_similarity(queries, texts, dim=2)
        losses = functional.relu(far[:, :, None] - far[:, None, :] + self.config.margin)
        return mean_where(losses, ordered_pairs(*grades(batch, "relevant")))


class Hinge(GroupObjective):
    """The better text of a pair scores higher by the margin, or costs what it lacks (Joachims, 2002)."""

    config: HingeConfig

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries of the mean over their pairs, a scalar."""
        losses = functional.relu(self.config.margin - differences(outputs))
        return mean_where(losses, ordered_pairs(*grades(batch, self.config.grades)))


class RankNet(GroupObjective):
    """The cross-entropy of which text of a pair is better, log(1 + exp(-σ(sᵢ - sⱼ))) (Burges et al., 2005, equation 3)."""

    config: RankNetConfig

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries of the mean over their pairs, a scalar."""
        losses = functional.softplus(-self.config.sigma * differences(outputs))
        return mean_where(losses, ordered_pairs(*grades(batch, self.config.grades)))


class LambdaRank(GroupObjective):
    """RankNet's cost of each pair times the change in nDCG that swapping the two makes, summed over the pairs.

    Its gradient is the λ of Burges (2010), section 4: ranks are those of the model's scores at this moment and are not
    differentiated. Of equal scores the earlier place ranks higher.
    """

    config: LambdaRankConfig

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries of the sum over their pairs, a scalar."""
        values, counts = grades(batch, self.config.grades)
        if self.config.grades == "teacher":
            values = torch.where(counts, values, LOWEST)
            values = (values - values.amax(dim=1, keepdim=True)).exp()
        gains = torch.where(counts, values, 0.0)
        shown = torch.where(counts, outputs.scores.detach(), LOWEST)
        ranks = shown.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        discounts = 1 / torch.log2(ranks.float() + 2)
        best = gains.sort(dim=1, descending=True).values / torch.log2(
            torch.arange(gains.shape[1], device=gains.device) + 2
        )
        if self.config.k is not None:
            discounts = torch.where(ranks < self.config.k, discounts, 0.0)
            best = best[:, : self.config.k]
        ideal = best.sum(dim=1).clamp(min=torch.finfo(torch.float32).tiny)[:, None, None]
        swap = (
            (gains[:, :, None] - gains[:, None, :]).abs()
            * (discounts[:, :, None] - discounts[:, None, :]).abs()
            / ideal
        )
        costs = swap * functional.softplus(-self.config.sigma * differences(outputs))
        return torch.where(ordered_pairs(gains, counts), costs, 0.0).sum(dim=(1, 2)).mean()
