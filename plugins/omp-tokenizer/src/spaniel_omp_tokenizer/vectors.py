"""The vectors of new tokens, by every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from spaniel import UsageError
from torch import Tensor

from spaniel_omp_tokenizer import maps, nearest
from spaniel_omp_tokenizer.config import OmpTokenizerConfig
from spaniel_omp_tokenizer.pursuit import combine, pursue
from spaniel_omp_tokenizer.rotary import Rotary, rope_pursuit
from spaniel_omp_tokenizer.vocabulary import Vocabulary

Role = Literal["input", "output"]
READS_DONOR = ("omp", "interpolation", "clp", "focus", "wechsel", "landmark-pca", "sparse-basis", "rope-pursuit")
"""Methods that read the donor's vectors, and can be tested on tokens that were hidden from them."""
_COVARIANCE = 0.02
"""Standard deviation of the normal numbers that stand in for a covariance that is none."""


@dataclass(frozen=True, eq=False)
class Material:
    """What new vectors are made of.

    Attributes:
        donor: ``(anchors, donor's dimensions)``, the donor's vectors of the shared tokens.
        base: ``(anchors, base's dimensions)``, the base's.
        every: ``(rows, base's dimensions)``, all of the base's vectors.
        role: which matrix it is.
        plain: how many of the base's dimensions are a vector; where there is one more, it is the output's bias.
        texts: id of a new token → its text.
        vocabulary: the base's.
        rotary: the donor's and the base's.
        generator: of random numbers.
    """

    donor: Tensor
    base: Tensor
    every: Tensor
    role: Role
    plain: int
    texts: Callable[[int], str]
    vocabulary: Vocabulary
    rotary: tuple[Rotary | None, Rotary | None]
    generator: torch.Generator


@dataclass(frozen=True, eq=False)
class Made:
    """Vectors of some tokens, ``(tokens, base's dimensions)``, and what they are made of where they are sparse sums.

    ``left`` is the share of the donor's vector that is left over, ``(tokens,)``.
    """

    vectors: Tensor
    indices: Tensor | None = None
    weights: Tensor | None = None
    left: Tensor | None = None


Approximate = Callable[[Tensor, Tensor], Made]
"""Ids of new tokens, ``(tokens,)``, and the donor's vectors, ``(tokens, donor's dimensions)`` → their vectors."""


def approximation(config: OmpTokenizerConfig, material: Material) -> Approximate:
    """Return what makes vectors by the method of the options.

    Raises:
        UsageError: the method needs more than there is.
    """
    method, k = config.method, config.k
    shared = len(material.donor)
    if method in READS_DONOR and not shared:
        raise UsageError(f"{method} makes new tokens of shared ones, and the two tokenizers share none")
    if method == "omp" and k > shared:
        raise UsageError(f"k={k}: the two tokenizers share {shared} tokens that can serve; choose k up to that")
    return _of_anchors(config, material) if method in READS_DONOR else _of_base(config, material)


def _of_anchors(config: OmpTokenizerConfig, material: Material) -> Approximate:
    atoms, base, k = material.donor, material.base, min(config.k, len(material.donor))

    def omp(ids: Tensor, targets: Tensor) -> Made:
        found = pursue(targets, atoms, k, normalise=config.normalise_atoms)
        indices, weights = found.weights()
        left = found.norms[:, -1] / found.norms[:, 0].clamp_min(1e-30)
        return Made(combine(indices, weights, base), indices, weights, left)

    def interpolation(ids: Tensor, targets: Tensor) -> Made:
        indices, weights = nearest.interpolate(targets, atoms, k, config.metric, config.weights)
        return Made(combine(indices, weights, base), indices, weights)

    def wechsel(ids: Tensor, targets: Tensor) -> Made:
        indices, weights = nearest.wechsel(targets, atoms)
        return Made(combine(indices, weights, base), indices, weights)

    def all_of(weigh: Callable[[Tensor, Tensor], Tensor]) -> Approximate:
        return lambda ids, targets: Made(nearest.averages(targets, atoms, base, weigh))

    def rope(ids: Tensor, targets: Tensor) -> Made:
        donor, own = material.rotary
        if donor is None or own is None:
            raise UsageError("rope-pursuit turns tokens as rotary embeddings do, which one of the two models lacks")
        indices, weights, vectors = rope_pursuit(targets, atoms, base[:, : material.plain], k, donor, own)
        rest = combine(indices, weights, base[:, material.plain :]) if base.shape[1] > material.plain else None
        return Made(vectors if rest is None else torch.cat([vectors, rest], 1), indices, weights)

    def mapped(make: Callable[[], maps.Map]) -> Approximate:
        function = make()
        return lambda ids, targets: Made(function(targets))

    match config.method:
        case "omp":
            return omp
        case "interpolation":
            return interpolation
        case "clp":
            return all_of(nearest.similar)
        case "focus":
            return all_of(nearest.focus)
        case "wechsel":
            return wechsel
        case "landmark-pca":
            return mapped(lambda: maps.landmark_pca(atoms, base))
        case "sparse-basis":
            return mapped(lambda: maps.sparse_basis(atoms, base, k))
        case _:
            return rope


def _of_base(config: OmpTokenizerConfig, material: Material) -> Approximate:
    every = material.every
    mean = every.mean(0)
    size = every.shape[1]

    def subword(ids: Tensor, targets: Tensor) -> Made:
        vectors = []
        for number in ids.tolist():
            pieces = [i for i in material.vocabulary.split(material.texts(number)) if i < len(every)]
            vectors.append(_combined(every[torch.tensor(pieces)], config.pieces, material.role) if pieces else mean)
        return Made(torch.stack(vectors))

    def drawn(draw: Callable[[int], Tensor]) -> Approximate:
        def make(ids: Tensor, targets: Tensor) -> Made:
            vectors = draw(len(ids))
            vectors[:, material.plain :] = mean[material.plain :]
            return Made(vectors)

        return make

    def normal(count: int) -> Tensor:
        return torch.randn(count, size, generator=material.generator, dtype=every.dtype)

    match config.method:
        case "subword":
            return subword
        case "mean":
            return lambda ids, targets: Made(mean.repeat(len(ids), 1))
        case "zero":
            return lambda ids, targets: Made(every.new_zeros(len(ids), size))
        case "normal":
            return drawn(normal)
        case _:
            factor = _root(every - mean)
            return drawn(lambda count: mean + normal(count) @ factor.T)


def _combined(pieces: Tensor, how: str, role: Role) -> Tensor:
    if how == "mean":
        return pieces.mean(0)
    if how == "sum":
        return pieces.sum(0)
    if how == "last":
        return pieces[-1 if role == "input" else 0]
    counts = torch.arange(1, len(pieces) + 1, dtype=pieces.dtype)
    return (counts / counts.sum()) @ pieces


def _root(centred: Tensor) -> Tensor:
    """Return a root of the covariance, or that of small independent numbers where it is not positive definite."""
    covariance = (centred.T @ centred / max(1, len(centred) - 1)).double()
    factor, failed = torch.linalg.cholesky_ex(covariance)
    size = len(covariance)
    return (factor if not int(failed) else _COVARIANCE * torch.eye(size, dtype=torch.float64)).to(centred.dtype)
