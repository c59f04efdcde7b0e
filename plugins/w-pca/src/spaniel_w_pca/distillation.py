"""Objectives of the distillation (Wang 2025, appendix F)."""

from __future__ import annotations

from typing import Any

import torch
from spaniel_train.batch import Batch, Outputs
from spaniel_train.protocols import Need
from torch import Tensor

from spaniel_w_pca.config import LayerwiseConfig, PredictionConfig
from spaniel_w_pca.features import LayerErrors, Way
from spaniel_w_pca.learning import LAYERS, TEACHER

_EPS = 1e-8


class LayerwiseKd:
    """``Σᵢ (L_attn,i + L_hidd,i) + L_embd``: each the mean square, over the tokens of a batch and features, of what is apart.

    Attributes:
        way: which layers are compared, and how.
    """

    needs: frozenset[Need] = frozenset({LAYERS})

    def __init__(self, config: LayerwiseConfig, context: Any) -> None:
        self.config = config
        self.way = Way(config.layer_map, config.features)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the sum, a scalar."""
        errors: LayerErrors = outputs.more[LAYERS][self.way]
        whole = errors.attention.sum() + errors.hidden.sum() + errors.embedding.sum()
        return whole / errors.tokens.sum()


class PredictionKd:
    """``L_pred``: a query's scores with all texts of the batch are the student's and the teacher's prediction.

    The paper's tasks are classifications; here the classes of a query are the texts.
    """

    needs: frozenset[Need] = frozenset({"matrix", TEACHER})

    def __init__(self, config: PredictionConfig, context: Any) -> None:
        self.config = config

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean over the queries, a scalar."""
        config = self.config
        assert outputs.matrix is not None  # a recipe without it is refused
        ours, theirs = outputs.matrix * config.scale, outputs.more[TEACHER].detach() * config.scale
        if config.loss == "dist":
            return dist(ours, theirs, config.temperature)
        heat = config.temperature
        terms = -(theirs / heat).softmax(1) * (ours / heat).log_softmax(1)
        made: Tensor = terms.mean() if config.compat == "reference" else terms.sum(1).mean()
        return made


def dist(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return how far two tables of logits are from being correlated, by rows and by columns (Huang et al., DIST, NeurIPS 2022).

    Args:
        student, teacher: ``(n, classes)``.
        temperature: logits are divided by it, and the loss is multiplied with its square.
    """
    ours, theirs = (student / temperature).softmax(1), (teacher / temperature).softmax(1)
    return temperature**2 * ((1 - _pearson(ours, theirs).mean()) + (1 - _pearson(ours.T, theirs.T).mean()))


def _pearson(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlation of each row with its like: ``(rows,)``."""
    a, b = (one - one.mean(1, keepdim=True) for one in (first, second))
    # The gradient of a norm at 0 is not a number where a row is constant.
    sizes = (a.square().sum(1) + _EPS**2).sqrt() * (b.square().sum(1) + _EPS**2).sqrt()
    return torch.sum(a * b, 1) / (sizes + _EPS)
