"""Losses that keep vectors sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import SparsityConfig
from spaniel_train.objectives.groups import GroupObjective
from spaniel_train.protocols import Need


class _Sparsity(GroupObjective, ABC):
    config: SparsityConfig

    @property
    def needs(self) -> frozenset[Need]:
        """The vectors."""
        return frozenset({"vectors"})

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the loss of the queries' vectors, of the texts', or the sum of both, a scalar."""
        assert outputs.queries is not None  # a recipe without them is refused
        assert outputs.texts is not None
        chosen = {"queries": [outputs.queries], "texts": [outputs.texts], "both": [outputs.queries, outputs.texts]}
        return sum((self.of(vectors) for vectors in chosen[self.config.of]), outputs.queries.new_zeros(()))

    @abstractmethod
    def of(self, vectors: Tensor) -> Tensor:
        """Return the loss of some vectors, ``(vectors, dimensions)``."""


class Flops(_Sparsity):
    """Σ over the terms of the squared mean of their absolute weights (Paria et al., 2020, section 4; SPLADE, equation 4)."""

    def of(self, vectors: Tensor) -> Tensor:
        """Return the loss of some vectors, ``(vectors, dimensions)``."""
        return (vectors.abs().mean(dim=0) ** 2).sum()


class L1(_Sparsity):
    """The mean over the vectors of the sum of their absolute weights (Zamani et al., 2018, section 3.2)."""

    def of(self, vectors: Tensor) -> Tensor:
        """Return the loss of some vectors, ``(vectors, dimensions)``."""
        return vectors.abs().sum(dim=1).mean()
