"""What inference-free encoders are trained with, beside the distillation losses of spaniel-train.

Scores are sums of idf times the documents' weights, since the queries' side of the model is the table. That, and nothing
else, is the IDF-aware penalty: with u = idf · d, ``ranking(Σ u) + λ Σ mean(d)²`` is ``ranking(Σ u) + λ Σ mean(u)² / idf²``, so
that the terms of low IDF are the first to be pushed to 0 (Geng et al., 2024).
"""

from __future__ import annotations

from typing import Any

import torch
from spaniel_train.batch import Batch, Outputs
from spaniel_train.protocols import Need
from torch import Tensor

from spaniel_inference_free_sparse.config import GroupedFlopsConfig, NegativesNceConfig

LOWEST = torch.finfo(torch.float32).min


class GroupedFlops:
    """Σ over places of a group, Σ over terms, of the squared mean weight of that place's documents.

    With groups of one it is FLOPS of Paria et al. (2020). The mean of a place is over all queries of the batch; documents that are
    masked by the threshold count there with weights of 0, as in the reference.
    """

    def __init__(self, config: GroupedFlopsConfig, context: Any) -> None:
        self.config = config

    @property
    def needs(self) -> frozenset[Need]:
        """The vectors."""
        return frozenset({"vectors"})

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the regularisation of the documents, a scalar."""
        assert outputs.texts is not None  # a recipe without them is refused
        weights = outputs.texts.abs()
        if self.config.threshold is not None:
            weights = weights * ((weights != 0).sum(dim=1, keepdim=True) > self.config.threshold)
        queries, width = batch.groups.shape
        # How much of each text is in the mean of each place: (places, texts).
        share = weights.new_zeros((width, len(weights)))
        places = torch.arange(width, device=weights.device).expand(queries, width)[batch.filled]
        share.index_put_((places, batch.groups[batch.filled]), share.new_ones(()), accumulate=True)
        if self.config.grouping == "pooled":
            means: Tensor = share.sum(dim=0) @ weights / share.sum()
        else:
            means = share @ weights / queries
        return (means**2).sum()


class NegativesNce:
    """The cross-entropy of a right text among it and negatives: of its own row, or of all rows of the batch.

    Other than in ``info-nce``, the right texts of other rows are not held against a query (the reference's ``infonce``). A
    query with several right texts counts with their mean. A text that any row names as an answer to a query is no negative
    of it.
    """

    def __init__(self, config: NegativesNceConfig, context: Any) -> None:
        self.config = config

    @property
    def needs(self) -> frozenset[Need]:
        """The scores of every query with every text, where other rows count."""
        return frozenset({"matrix"} if self.config.in_batch else ())

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        right = outputs.scores / self.config.temperature
        negative = batch.filled & ~batch.relevant
        if self.config.in_batch:
            assert outputs.matrix is not None  # a recipe without it is refused
            listed = torch.zeros(batch.wrong.shape[1], dtype=torch.bool, device=negative.device)
            listed[batch.groups[negative]] = True
            others = torch.where(batch.wrong & listed, outputs.matrix / self.config.temperature, LOWEST)
        else:
            others = torch.where(negative, right, LOWEST)
        among = torch.logaddexp(right, others.logsumexp(dim=1, keepdim=True)) - right
        counts = batch.relevant & batch.filled
        loss: Tensor = (torch.where(counts, among, 0.0).sum(dim=1) / counts.sum(dim=1).clamp(min=1)).mean()
        return loss
