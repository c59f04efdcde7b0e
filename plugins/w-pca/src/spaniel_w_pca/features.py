"""What layers of a teacher and a student show, and how far they are apart (Wang 2025, appendix F)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from spaniel import UsageError
from spaniel_neural.walking import walk
from torch import Tensor, nn

from spaniel_w_pca.family import NluEncoder

LayerMap = Literal["last-of-group", "first-of-group"]
Measure = Literal["mse", "pkd"]
_POST_NORM = ("bert", "mpnet", "distilbert")
"""Architectures of transformers whose blocks end in a normalisation, as those of the paper do."""
_EPS = 1e-6


class Way(NamedTuple):
    """How layers are compared."""

    layer_map: LayerMap = "last-of-group"
    features: Measure = "mse"


@dataclass(frozen=True, eq=False)
class Shown:
    """The modules of an encoder whose outputs are compared.

    Attributes:
        embedding: what the first block reads.
        attention: of each block, what its attention gave, behind the residual.
        hidden: of each block, what it gave.
        families: of each block the name of its family; those of one family share a projection.
    """

    embedding: nn.Module
    attention: list[nn.Module]
    hidden: list[nn.Module]
    families: list[str]

    @property
    def modules(self) -> list[nn.Module]:
        """All of them."""
        return [self.embedding, *self.attention, *self.hidden]

    @property
    def width(self) -> int:
        """Of what a block gives."""
        return _width(self.hidden[-1])

    @property
    def attention_widths(self) -> dict[str, int]:
        """Of what the attention of a block of each family gives."""
        return {family: _width(module) for family, module in zip(self.families, self.attention, strict=True)}


def shown_by(model: Any) -> Shown:
    """Return the modules of an encoder of this plugin's, or of one of transformers that normalises behind its residuals.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(model, NluEncoder):
        blocks: list[Any] = list(model.encoder.blocks)
        families = [layer.family for layer in model.config.layers]
        return Shown(model.encoder.embeddings, [one.norm for one in blocks], [one.last for one in blocks], families)
    anatomy = walk(model)
    if anatomy.architecture not in _POST_NORM:
        raise UsageError(f"layers are compared of {', '.join(_POST_NORM)}, not of {anatomy.architecture}")
    parts = anatomy.stack("encoder")
    norms = [[one.module for one in block.norms] for block in parts]
    return Shown(
        anatomy.norms[0].module,
        [one[0] for one in norms],
        [one[-1] for one in norms],
        [anatomy.architecture] * len(parts),
    )


def _width(norm: nn.Module) -> int:
    weight = norm.weight
    assert isinstance(weight, Tensor)  # a normalisation, or what stands for one
    return len(weight)


def teacher_layer(layer_map: LayerMap, layer: int, student: int, teacher: int) -> int:
    """Return the teacher's layer that a student's layer learns from, both counted from 0.

    The student's layers are spread over groups of the teacher's, of which the last counts, ``⌈(i + 1) L_T / L_S⌉ - 1``, or
    the first, ``⌊i L_T / L_S⌋``.
    """
    if layer_map == "first-of-group":
        return layer * teacher // student
    return math.ceil((layer + 1) * teacher / student) - 1


class Projections(nn.Module):
    """Linears from the student's widths to the teacher's: one for hidden states and embedding, one for each family's attention.

    Args:
        student, teacher: what is shown.
    """

    def __init__(self, student: Shown, teacher: Shown) -> None:
        super().__init__()
        self.hidden = nn.Linear(student.width, teacher.width)
        self.attention = nn.ModuleDict(
            {family: nn.Linear(width, teacher.width) for family, width in student.attention_widths.items()}
        )


@dataclass(frozen=True, eq=False)
class LayerErrors:
    """How far student and teacher are apart, for each text the sum over its tokens.

    Attributes:
        embedding: ``(texts,)``.
        attention: ``(texts, layers)``.
        hidden: ``(texts, layers)``.
        tokens: ``(texts,)``, how many they are.
    """

    embedding: Tensor
    attention: Tensor
    hidden: Tensor
    tokens: Tensor

    @classmethod
    def from_columns(cls, columns: Tensor, tokens: Tensor) -> LayerErrors:
        """Return errors from the columns that :func:`layer_errors` made."""
        layers = (columns.shape[1] - 1) // 2
        return cls(columns[:, 0], columns[:, 1 : 1 + layers], columns[:, 1 + layers :], tokens)


def layer_errors(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    shown: Shown,
    projections: Projections,
    mask: Tensor,
    way: Way,
) -> Tensor:
    """Return the errors of a batch of texts: ``(texts, 1 + 2 layers)``, of embedding, attention and hidden states.

    Args:
        student: outputs of ``shown.modules``, ``(texts, tokens, width)`` each.
        teacher: the same of the teacher's, of its own number of layers.
        shown: the student's modules.
        projections: from the student's widths to the teacher's.
        mask: ``(texts, tokens)``, which tokens count.
        way: which layers are compared, and how.
    """
    ours, theirs = len(shown.hidden), (len(teacher) - 1) // 2
    columns = [_apart(projections.hidden(student[0]), teacher[0], mask, way.features)]
    matched = [1 + teacher_layer(way.layer_map, layer, ours, theirs) for layer in range(ours)]
    for layer, family in enumerate(shown.families):
        made = projections.attention[family](student[1 + layer])
        columns.append(_apart(made, teacher[matched[layer]], mask, way.features))
    for layer in range(ours):
        made = projections.hidden(student[1 + ours + layer])
        columns.append(_apart(made, teacher[theirs + matched[layer]], mask, way.features))
    return torch.stack(columns, 1)


def _apart(ours: Tensor, theirs: Tensor, mask: Tensor, measure: Measure) -> Tensor:
    """Return the squared differences, their mean over features and sum over tokens: ``(texts,)``."""
    ours, theirs = ours.float(), theirs.float()
    if measure == "pkd":
        ours, theirs = _standardised(ours, mask), _standardised(theirs, mask)
    return ((ours - theirs).square().mean(-1) * mask).sum(1)


def _standardised(features: Tensor, mask: Tensor) -> Tensor:
    """Return features with mean 0 and variance 1 over the tokens of a text, each by itself (Cao et al., PKD, NeurIPS 2022)."""
    counts = mask.sum(1)[:, None, None]
    kept = features * mask[..., None]
    mean = kept.sum(1, keepdim=True) / counts
    centred = (features - mean) * mask[..., None]
    variance = centred.square().sum(1, keepdim=True) / (counts - 1).clamp(min=1)
    # The root of 0 has no gradient.
    made: Tensor = centred / (variance.clamp(min=_EPS**2).sqrt() + _EPS)
    return made
