"""Matching pursuit with tokens turned to another position, as rotary embeddings turn them (Su et al., RoFormer, 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spaniel_omp_tokenizer.pursuit import best_atoms


@dataclass(frozen=True)
class Rotary:
    """How a model turns vectors.

    Attributes:
        heads: attention heads, over which a token's vector is laid out.
        theta: base of the frequencies.
    """

    heads: int
    theta: float = 10_000.0

    def frequencies(self, dimensions: int) -> Tensor:
        """Return radians for each position, ``(dimensions / heads / 2,)`` (RoFormer, section 3.2.2)."""
        size = dimensions // self.heads
        return self.theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)


def turn(vectors: Tensor, positions: Tensor, rotary: Rotary) -> Tensor:
    """Turn vectors, ``(n, dimensions)``, to positions, ``(n,)``; each head's halves are the planes' two axes."""
    first, second = _planes(vectors, rotary)
    angles = positions[:, None] * rotary.frequencies(vectors.shape[1]).to(vectors.dtype)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).reshape(vectors.shape)


def position(vectors: Tensor, targets: Tensor, rotary: Rotary) -> Tensor:
    """Estimate to which position each vector is to be turned to be nearest to its target: ``(n,)``.

    The angle of every plane is exact; the positions that they ask for are fitted by least squares over the frequencies.
    """
    a, b = _planes(vectors, rotary)
    c, d = _planes(targets, rotary)
    angles = torch.atan2(a * d - b * c, a * c + b * d)
    frequencies = rotary.frequencies(vectors.shape[1]).to(vectors.dtype)
    return (angles * frequencies).sum((1, 2)) / (rotary.heads * (frequencies**2).sum())


def rope_pursuit(
    targets: Tensor, atoms: Tensor, base: Tensor, k: int, donor: Rotary, own: Rotary
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the chosen tokens and their weights, ``(targets, k)`` each, and the sums of the base's turned vectors.

    Each chosen token is turned towards what is left of the target, or away from it where that is the smaller turn; the
    weights are least squares over all turned tokens; the base's vectors are turned to the same positions by its own rotary
    embedding.

    Args:
        targets: ``(targets, donor's dimensions)``.
        atoms: ``(atoms, donor's dimensions)``.
        base: ``(atoms, base's dimensions)``.
    """
    count = len(targets)
    indices = torch.zeros(count, k, dtype=torch.int64)
    places = targets.new_zeros(count, k)
    turned = targets.new_zeros(count, k, targets.shape[1])
    residual = targets.clone()
    for step in range(k):
        chosen = best_atoms(residual, atoms, indices[:, :step])
        atom = atoms[chosen]
        towards, away = position(atom, residual, donor), position(atom, -residual, donor)
        place = torch.where(towards.abs() < away.abs(), towards, away)
        atom = turn(atom, place, donor)
        share = (residual * atom).sum(1) / (atom**2).sum(1).clamp_min(1e-8)
        residual = residual - share[:, None] * atom
        indices[:, step], places[:, step], turned[:, step] = chosen, place, atom
    inverse = torch.linalg.pinv(turned.transpose(1, 2).double(), rtol=1e-6)
    weights = (inverse @ targets[..., None].double())[..., 0].to(targets.dtype)
    made = targets.new_zeros(count, base.shape[1])
    for step in range(k):
        made += weights[:, step, None] * turn(base[indices[:, step]], places[:, step], own)
    return indices, weights, made


def _planes(vectors: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor]:
    """Return the two coordinates of every plane: ``(n, heads, dimensions / heads / 2)`` each."""
    first, second = vectors.reshape(len(vectors), rotary.heads, -1).chunk(2, dim=-1)
    return first, second
