"""Averages of shared tokens, the methods that the paper compares itself with: nearest ones, or all by similarity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SCORES = 2**20
"""Similarities held at once, or those of one target where there are more atoms: 4 MB in float32, and some copies."""

_NEIGHBOURS, _TEMPERATURE = 10, 0.1
"""WECHSEL's (Minixhofer et al., NAACL 2022, section 3.2)."""


def unit(vectors: Tensor) -> Tensor:
    """Return vectors of length 1; those of none stay."""
    made: Tensor = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return made


def interpolate(targets: Tensor, atoms: Tensor, k: int, metric: str, scheme: str) -> tuple[Tensor, Tensor]:
    """Return the ``k`` nearest atoms and their weights, ``(targets, k)`` each.

    Args:
        metric: ``euclidean`` or ``cosine``.
        scheme: ``distance`` (the inverse distance, or the similarity, adding up to 1), ``barycentric`` (least squares among
            weights that add up to 1) or ``least-squares``.
    """

    def distances(part: Tensor) -> Tensor:
        return torch.cdist(part, atoms) if metric == "euclidean" else 1 - cosines(part, atoms)

    near, indices = _first(targets, atoms, k, distances, largest=False)
    if scheme == "distance":
        raw = 1 / near.clamp_min(1e-6) if metric == "euclidean" else 1 - near
        return indices, raw / raw.sum(1, keepdim=True).clamp_min(1e-6)
    points = atoms[indices]
    if scheme == "least-squares":
        return indices, _solve(points.transpose(1, 2), targets[..., None])
    # min |x - w P|² under sum(w) = 1: from the nearest point, least squares over the differences to it.
    first, others = points[:, :1], points[:, 1:]
    free = _solve((others - first).transpose(1, 2), (targets - first[:, 0])[..., None])
    return indices, torch.cat([1 - free.sum(1, keepdim=True), free], dim=1)


def _solve(left: Tensor, right: Tensor) -> Tensor:
    """Return the shortest least-squares solutions, whatever the rank."""
    solved: Tensor = torch.linalg.pinv(left.double(), rtol=1e-10) @ right.double()
    return solved[..., 0].to(left.dtype)


def cosines(targets: Tensor, atoms: Tensor) -> Tensor:
    """Return the cosine similarities, ``(targets, atoms)``, without a second copy of the atoms."""
    products: Tensor = unit(targets) @ atoms.T
    return products.div_(atoms.norm(dim=1).clamp_min(1e-12))


def averages(targets: Tensor, atoms: Tensor, base: Tensor, weigh: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return averages of all atoms' counterparts, ``(targets, base's dimensions)``, a few targets at a time.

    Weights of all targets for all atoms are never in memory together.

    Args:
        targets: ``(targets, donor's dimensions)``.
        atoms: ``(atoms, donor's dimensions)``.
        base: ``(atoms, base's dimensions)``.
        weigh: targets, atoms → weights: :func:`similar` or :func:`focus`.
    """
    return torch.cat([weigh(part, atoms) @ base for part in _parts(targets, atoms)])


def similar(targets: Tensor, atoms: Tensor) -> Tensor:
    """Return CLP's weights, ``(targets, atoms)``: the cosine similarities above 0, adding up to 1.

    Ostendorff and Rehm, Efficient Language Model Training through Cross-Lingual and Progressive Transfer Learning, 2023.
    """
    kept = cosines(targets, atoms).clamp_min_(0)
    return kept.div_(kept.sum(1, keepdim=True).clamp_min(1e-12))


def sparsemax(scores: Tensor) -> Tensor:
    """Return the nearest points of the simplex, ``(rows, n)`` (Martins and Astudillo, ICML 2016, algorithm 1)."""
    ordered = scores.sort(dim=1, descending=True).values
    sums = ordered.cumsum(1) - 1
    ranks = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype)
    support = (ordered * ranks > sums).sum(1, keepdim=True)
    threshold = sums.gather(1, support - 1) / support
    return (scores - threshold).clamp_min(0)


def focus(targets: Tensor, atoms: Tensor) -> Tensor:
    """Return FOCUS' weights, ``(targets, atoms)``: sparsemax of cosine similarities (Dobler and de Melo, EMNLP 2023).

    Similarities are those of the donor's vectors, where FOCUS trains vectors of its own on a corpus.
    """
    return sparsemax(cosines(targets, atoms))


def wechsel(targets: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 10 most similar atoms and their softmax weights, ``(targets, 10)`` each (Minixhofer et al., NAACL 2022).

    Similarities are those of the donor's vectors, where WECHSEL aligns word vectors of two languages.
    """
    near, indices = _first(targets, atoms, _NEIGHBOURS, lambda part: cosines(part, atoms), largest=True)
    return indices, torch.softmax(near / _TEMPERATURE, dim=1)


def _parts(targets: Tensor, atoms: Tensor) -> list[Tensor]:
    """Return targets, a few at a time, so that a number for each of them and each atom fits into the bound."""
    size = max(1, SCORES // max(1, len(atoms)))
    return [targets[at : at + size] for at in range(0, max(1, len(targets)), size)]


def _first(
    targets: Tensor, atoms: Tensor, k: int, score: Callable[[Tensor], Tensor], largest: bool
) -> tuple[Tensor, Tensor]:
    """Return the ``k`` best scores of each target, and their atoms, ``(targets, k)`` each."""
    found = [torch.topk(score(part), min(k, len(atoms)), dim=1, largest=largest) for part in _parts(targets, atoms)]
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])
