"""One matrix of token vectors for another vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from spaniel import Context
from torch import Tensor

from spaniel_omp_tokenizer.config import OmpTokenizerConfig
from spaniel_omp_tokenizer.matching import Matching
from spaniel_omp_tokenizer.rotary import Rotary
from spaniel_omp_tokenizer.vectors import READS_DONOR, Approximate, Made, Material, Role, approximation
from spaniel_omp_tokenizer.vocabulary import Vocabulary

HIDDEN = 1000
"""Shared tokens that are hidden to see how good the method is, at most."""
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Exchange:
    """What a matrix is rebuilt from.

    Attributes:
        base: the base's vocabulary.
        donor: the donor's.
        matching: between the two.
        anchors: ``(n, 2)`` int64, the pairs that serve as anchors.
        empty: ids of the donor whose vectors stay 0.
        rows: of the matrix that is made.
        rotary: the donor's and the base's.
    """

    base: Vocabulary
    donor: Vocabulary
    matching: Matching
    anchors: np.ndarray[Any, np.dtype[np.int64]]
    empty: frozenset[int]
    rows: int
    rotary: tuple[Rotary | None, Rotary | None] = (None, None)


def rebuild(
    context: Context,
    config: OmpTokenizerConfig,
    exchange: Exchange,
    own: Tensor,
    bias: Tensor | None,
    theirs: Tensor,
    role: Role,
    examples: Sequence[int] = (),
) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
    """Make the base's matrix for the donor's vocabulary: copied where the base has a token, else approximated.

    Args:
        own: ``(base's rows, base's dimensions)``, any floating dtype; the result has it.
        bias: ``(base's rows,)`` of the output, treated as one more dimension.
        theirs: ``(donor's rows, donor's dimensions)``.
        role: which matrix it is.
        examples: ids of new tokens whose anchors are reported.

    Returns:
        The matrix ``(rows, base's dimensions)``, the bias ``(rows,)``, and a report.
    """
    dtype = getattr(torch, config.dtype)
    plain = own.shape[1]
    every = own.to(dtype) if bias is None else torch.cat([own.to(dtype), bias.to(dtype)[:, None]], 1)
    made = every.new_zeros(exchange.rows, every.shape[1])
    pairs = torch.from_numpy(exchange.matching.copied)
    made[pairs[:, 0]] = every[pairs[:, 1]]
    anchors = torch.from_numpy(exchange.anchors)
    keys = exchange.donor.keys
    material = Material(
        theirs[anchors[:, 0]].to(dtype),
        every[anchors[:, 1]],
        every,
        role,
        plain,
        lambda number: keys[number].plain,
        exchange.base,
        exchange.rotary,
        torch.Generator().manual_seed(context.seed_for("omp-tokenizer", config.method, role)),
    )
    report: dict[str, Any] = {"held out": _held_out(context, config, material, role)}
    new = [number for number in exchange.matching.new.tolist() if number not in exchange.empty]
    method = approximation(config, material)
    shown = sorted(set(examples))
    left, lengths = [], []
    with context.stage(f"new tokens, {role}", total=len(new), unit="tokens"):
        for start in range(0, len(new), config.batch_size):
            ids = torch.tensor(new[start : start + config.batch_size])
            part = method(ids, theirs[ids].to(dtype))
            made[ids] = _finished(part.vectors, config, material.generator, plain)
            left += [] if part.left is None else part.left.tolist()
            lengths += part.vectors[:, :plain].norm(dim=1).tolist()
            context.advance(len(ids))
    usual = float(every[:, :plain].norm(dim=1).median())
    report["left over"] = quantiles(left)
    report["length to the usual"] = quantiles([length / max(usual, 1e-12) for length in lengths])
    if shown:
        report["examples"] = _examples(exchange, method, torch.tensor(shown), theirs, dtype)
    matrix = made[:, :plain].to(own.dtype).contiguous()
    return matrix, None if bias is None else made[:, plain].to(bias.dtype).contiguous(), report


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Return the 5th, 25th, 50th, 75th and 95th percentile; ``None`` of nothing."""
    if not len(values):
        return None
    found = np.quantile(np.asarray(values, np.float64), _SHARES)
    return {f"{round(100 * share)} %": round(float(value), 4) for share, value in zip(_SHARES, found, strict=True)}


def held_out(config: OmpTokenizerConfig, material: Material, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Predict shared tokens that are hidden as anchors: their cosines to the truth and ratios of length, ``(hidden,)`` each.

    Args:
        hidden: numbers of anchors.
    """
    kept = torch.ones(len(material.donor), dtype=torch.bool)
    kept[hidden] = False
    fewer = replace(material, donor=material.donor[kept], base=material.base[kept])
    method = approximation(config.model_copy(update={"k": min(config.k, len(fewer.donor))}), fewer)
    plain = material.plain
    truth = material.base[hidden, :plain]
    parts = [
        method(part, material.donor[part]).vectors[:, :plain]
        for part in (hidden[at : at + config.batch_size] for at in range(0, len(hidden), config.batch_size))
    ]
    guessed = torch.cat(parts)
    cosines = torch.nn.functional.cosine_similarity(guessed, truth, dim=1)
    return cosines, guessed.norm(dim=1) / truth.norm(dim=1).clamp_min(1e-12)


def _held_out(context: Context, config: OmpTokenizerConfig, material: Material, role: Role) -> dict[str, Any] | None:
    count = min(HIDDEN, int(config.held_out * len(material.donor)))
    if not count or len(material.donor) - count < 1 or config.method not in READS_DONOR:
        return None
    chosen = context.rng("omp-tokenizer", "held out", role).permutation(len(material.donor))[:count]
    with context.stage(f"hidden tokens, {role}", total=count, unit="tokens"):
        cosines, ratios = held_out(config, material, torch.from_numpy(np.sort(chosen)))
        context.advance(count)
    return {
        "tokens": count,
        "mean cosine": round(float(cosines.mean()), 4),
        "cosine": quantiles(cosines.tolist()),
        "length": quantiles(ratios.tolist()),
    }


def _finished(vectors: Tensor, config: OmpTokenizerConfig, generator: torch.Generator, plain: int) -> Tensor:
    """Add noise and scale, in this order; the bias is left alone."""
    if config.noise or config.scale != 1:
        vectors = vectors.clone()
        noise = torch.randn(len(vectors), plain, generator=generator, dtype=vectors.dtype)
        vectors[:, :plain] = (vectors[:, :plain] + config.noise * noise) * config.scale
    return vectors


def _examples(
    exchange: Exchange, method: Approximate, ids: Tensor, theirs: Tensor, dtype: torch.dtype
) -> Mapping[str, Any]:
    """Return what tokens are made of, the heaviest parts first; nothing for methods without parts."""
    made: Made = method(ids, theirs[ids].to(dtype))
    if made.indices is None or made.weights is None:
        return {}
    written = exchange.donor.written
    told = {}
    for number, indices, weights in zip(ids.tolist(), made.indices.tolist(), made.weights.tolist(), strict=True):
        parts = [
            (written[int(exchange.anchors[index, 0])], round(weight, 4))
            for index, weight in zip(indices, weights, strict=True)
            if weight
        ]
        told[written[number]] = sorted(parts, key=lambda part: -abs(part[1]))
    return told
