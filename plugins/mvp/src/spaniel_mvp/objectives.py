"""The losses of MVP."""

from __future__ import annotations

from typing import Any

import torch
from spaniel import UsageError
from spaniel_train.batch import Batch, Outputs
from torch import Tensor
from torch.nn import functional

from spaniel_mvp.config import InverseRankConfig

ANCHORS = "anchors"
"""What only models with anchors give: ``(queries, views, dimensions)`` float32."""
_LOWEST = torch.finfo(torch.float32).min


class InverseRank:
    """A loss over lists by the ranks that a teacher gives (Na et al., 2025, section 3.3).

    ListNet: the target gives a text at rank r the weight 1/r; the loss is the cross-entropy of softmax(target / τ) and
    softmax(scores / τ). RankNet (Burges et al., 2005) sums log(1 + exp(s_j - s_i)) over the pairs in which i is better.
    """

    def __init__(self, config: InverseRankConfig, context: Any) -> None:
        self.config = config

    @property
    def needs(self) -> frozenset[str]:
        """The teacher's scores, where the option says so."""
        return frozenset({"teacher"} if self.config.grades == "teacher" else ())

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        ranks, counts = self.ranks(batch)
        if self.config.loss != "listnet":
            return self._pairs(outputs.scores, ranks, counts)
        tau = self.config.tau
        wanted = torch.where(counts, self._target(ranks) / tau, _LOWEST).softmax(dim=1)
        scores = torch.where(counts, outputs.scores / tau, _LOWEST)
        if self.config.compat == "reference":
            # The published code hands probabilities to a cross-entropy that takes their softmax again.
            scores = torch.where(counts, scores.softmax(dim=1), _LOWEST)
        made = scores.log_softmax(dim=1)
        return -torch.where(counts, wanted * made, 0.0).sum(dim=1).mean()

    def ranks(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the rank of each text in its group, from 1, ``(queries, width)`` float32, and where there is one.

        Of texts that are graded alike the earlier one is ranked first.
        """
        if self.config.grades == "teacher":
            counts = batch.filled & ~batch.teacher.isnan()
            grades = batch.teacher.nan_to_num(0.0)
        else:
            counts, grades = batch.filled, batch.relevant.float()
        order = torch.where(counts, grades, -torch.inf).argsort(dim=1, descending=True, stable=True)
        if self.config.lift:
            lifted = (batch.relevant & counts).gather(1, order).to(torch.int8)
            order = order.gather(1, lifted.argsort(dim=1, descending=True, stable=True))
        return order.argsort(dim=1).float() + 1, counts

    def _target(self, ranks: Tensor) -> Tensor:
        return 1 / ranks if self.config.target == "inverse-rank" else (1 - ranks).exp()

    def _pairs(self, scores: Tensor, ranks: Tensor, counts: Tensor) -> Tensor:
        better = (ranks[:, :, None] < ranks[:, None, :]) & counts[:, :, None] & counts[:, None, :]
        losses = functional.softplus(scores[:, None, :] - scores[:, :, None])
        if self.config.loss == "ranknet-weighted":
            losses = losses / (ranks[:, :, None] + ranks[:, None, :])
        return torch.where(better, losses, 0.0).sum(dim=(1, 2)).mean()


class AnchorOrthogonal:
    """How far the anchors of a list are from right angles: the squared Frobenius norm of A Aᵀ - I, rows of A scaled to 1.

    (Na et al., 2025, section 3.3; the mean over the lists.)
    """

    needs = frozenset({ANCHORS})

    def __init__(self, config: None, context: Any) -> None:
        pass

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar; 0 where there is one view.

        Raises:
            UsageError: the model gives no anchors.
        """
        anchors = outputs.more.get(ANCHORS)
        if anchors is None or anchors.ndim != 3:
            raise UsageError("anchor-orthogonal needs a model with anchors, one a view and list: kind: mvp")
        rows = functional.normalize(anchors, dim=-1)
        identity = torch.eye(rows.shape[1], device=rows.device)
        return (rows @ rows.transpose(1, 2) - identity).square().sum(dim=(1, 2)).mean()
