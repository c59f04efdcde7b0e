"""The paper's claims beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel.reproduction import Finding

PERMUTED, PERMUTATIONS = 20, 20
"""Lists that are permuted, and how often each."""


class Learned(NamedTuple):
    """What one seed gave.

    Attributes:
        quality: nDCG@10 over the held-out queries, by name: the variants, ``"untrained"``, ``"random"``, ``"first"``.
        cosines: mean size of the cosines between anchors of different views, by variant.
        same: share of permuted lists that are ranked as before, in percent.
        gap: largest change of a score under permutation, relative to the largest score of its list.
        steps: decoding steps of a list when it is ranked alone.
    """

    quality: dict[str, float]
    cosines: dict[str, float]
    same: float
    gap: float
    steps: float


def findings(learned: Sequence[Learned], size: str) -> tuple[Finding, ...]:
    """Return the paper's claims beside what the seeds gave; ``size`` says at which scale."""

    def of(name: str) -> NDArray[np.float64]:
        return np.array([one.quality[name] for one in learned])

    def mean(name: str) -> str:
        return f"{of(name).mean():.3f}"

    def changes(better: str, worse: str) -> tuple[float, ...]:
        return tuple((of(better) - of(worse)).tolist())

    whole, free = ([one.cosines[name] for one in learned] for name in ("whole", "free anchors"))
    gaps = max(one.gap for one in learned)
    plain = f"untrained {mean('untrained')}, in random order {mean('random')}, BM25 {mean('first')}"
    views, angles, code = (
        changes("whole", "one view"),
        changes("whole", "free anchors"),
        changes("whole", "published code"),
    )
    baseline = np.maximum(of("untrained"), of("random"))
    return (
        Finding(
            "the ranking does not depend on the order of the list",
            "identical for original, shuffled and reversed lists",
            tuple(one.same for one in learned),
            f"% of {PERMUTED} lists x {PERMUTATIONS} permutations ranked alike",
            all(one.gap <= 1e-5 for one in learned),
            f"largest relative change of a score {gaps:.1g}; where rankings differ, scores tie to rounding",
        ),
        Finding(
            "one decoding step ranks a list, whatever its length",
            "1",
            tuple(one.steps for one in learned),
            "steps a list",
            all(one.steps == 1 for one in learned),
        ),
        Finding(
            "a model that learns from lists of 5 ranks longer ones",
            "nDCG@10 0.743 (TREC DL19, BM25's 100 passages, T5-base, 1 M lists)",
            tuple(of("whole").tolist()),
            "nDCG@10 over BM25's 50",
            bool((of("whole") > baseline).all()),
            f"{plain}; {size}",
        ),
        Finding(
            "four views rank better than one",
            "they do (ablation; no figure at hand)",
            views,
            "nDCG@10 gained over one view",
            _said(views),
            size,
        ),
        Finding(
            "the orthogonal loss ranks better than none",
            "it does (ablation; no figure at hand)",
            angles,
            "nDCG@10 gained over λ = 0",
            _said(angles),
            size,
        ),
        Finding(
            "the orthogonal loss turns anchors away from each other",
            "it does",
            tuple(whole),
            "mean |cosine| between anchors of different views",
            all(one < other for one, other in zip(whole, free, strict=True)),
            f"λ = 0: {np.mean(free):.3f}",
        ),
        Finding(
            "ListNet as written beats the published code's softmax of a softmax",
            "no claim: the paper writes ListNet",
            code,
            "nDCG@10 gained over compat=reference",
            _said(code),
            f"compat=reference {mean('published code')}",
        ),
    )


def _said(changes: Sequence[float]) -> bool | None:
    """Whether all seeds agree that something gained, or lost; ``None`` where they do not agree."""
    signs = {bool(change > 0) for change in changes}
    return signs.pop() if len(signs) == 1 and len(changes) > 1 else None
