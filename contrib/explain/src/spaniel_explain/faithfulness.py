"""How faithful importances of words are to a score: the formulas.

Everywhere ``importance`` is ``(words,)``, and ``worth`` gives the scores ``(masks,)`` of a text of which only the words of
each mask, ``(masks, words)`` bool, are kept. A score is read relative to the text's own, f(x), and that of the text without
any word, f(0): v(S) = (f(S) - f(0)) / (f(x) - f(0)), so that measures of models with different scales compare. Words with
equal importance are taken in the order of the text.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Worth = Callable[[NDArray[np.bool_]], Floats]
FLAT = 1e-6
"""Difference of f(x) and f(0), relative to f(x) and at least to 1, below which a pair says nothing."""


def spread(worth: Worth, words: int) -> tuple[float, float] | None:
    """Return f(0) and f(x) - f(0); ``None`` where the words do not raise the score, so that nothing can be measured."""
    empty, full = worth(np.array([[False] * words, [True] * words])).tolist()
    return (empty, full - empty) if full - empty > FLAT * max(1.0, abs(full)) else None


def _cuts(words: int, steps: int) -> NDArray[np.int64]:
    return np.unique(np.round(np.linspace(0, words, min(steps, words) + 1)).astype(np.int64))


def _order(importance: Floats) -> NDArray[np.int64]:
    return np.argsort(-importance, kind="stable")


def _area(worth: Worth, importance: Floats, steps: int, ends: tuple[float, float], inserting: bool) -> float:
    words = len(importance)
    counts = _cuts(words, steps)
    place = np.empty(words, np.int64)
    place[_order(importance)] = np.arange(words)
    first = place[None, :] < counts[:, None]
    values = (worth(first if inserting else ~first) - ends[0]) / ends[1]
    return float(np.trapezoid(values, counts / words))


def deletion(worth: Worth, importance: Floats, steps: int, ends: tuple[float, float]) -> float:
    """Return the area under v when words go, the most important first; lower is better.

    The integral from 0 to 1 of v(x without its share t of most important words), by the trapezoid rule over ``steps`` equal
    shares. Source: Petsiuk, Das and Saenko (RISE), BMVC 2018, section 4.2.
    """
    return _area(worth, importance, steps, ends, inserting=False)


def insertion(worth: Worth, importance: Floats, steps: int, ends: tuple[float, float]) -> float:
    """Return the area under v when words come to nothing, the most important first; higher is better.

    Source: as :func:`deletion`.
    """
    return _area(worth, importance, steps, ends, inserting=True)


def drop(worth: Worth, importance: Floats, share: float, ends: tuple[float, float]) -> tuple[float, float]:
    """Return max(0, 1 - v(S)) and whether v(S) > 1 (as 0 or 1), of the most important ``share`` of the words, S.

    Their means over pairs are Average Drop, lower is better, and Increase in Confidence, higher is better. Source:
    Chattopadhay et al. (Grad-CAM++), WACV 2018, section 5.1, with v in place of the class probability. S has one word or
    more.
    """
    mask = np.zeros((1, len(importance)), bool)
    mask[0, _order(importance)[: max(1, round(share * len(importance)))]] = True
    value = float((worth(mask)[0] - ends[0]) / ends[1])
    return max(0.0, 1.0 - value), float(value > 1.0 + 1e-9)


def sensitivity(importance: Floats, changed: list[tuple[int, Floats]]) -> float:
    """Return the largest relative change of the importances when one word is taken from the text; lower is better.

    max over the tried words i of ‖Φ(x without i) - Φ(x) without i‖ / ‖Φ(x) without i‖, in Euclidean norms. Source: Yeh et
    al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019, definition 2, with texts that lack a word as the
    neighbourhood.

    Args:
        importance: Φ(x).
        changed: for each tried word its number and Φ(x without it), ``(words - 1,)``.
    """
    found = []
    for word, other in changed:
        mine = np.delete(importance, word)
        size = float(np.linalg.norm(mine))
        if size:
            found.append(float(np.linalg.norm(other - mine)) / size)
    return max(found, default=float("nan"))


def correlation(first: Floats, second: Floats) -> float:
    """Return Spearman's rank correlation, ties sharing their mean rank; NaN where one side is all ties.

    Source: Krishna et al., The Disagreement Problem in Explainable Machine Learning, 2022, section 3.
    """
    ranks = [_mean_ranks(values) for values in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    size = float(np.linalg.norm(centred[0]) * np.linalg.norm(centred[1]))
    return float(centred[0] @ centred[1]) / size if size else float("nan")


def overlap(first: Floats, second: Floats, top: int) -> float:
    """Return the share of the ``top`` most important words that two explainers have in common (Krishna et al., 2022)."""
    k = min(top, len(first))
    return len(set(_order(first)[:k].tolist()) & set(_order(second)[:k].tolist())) / k


def _mean_ranks(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = (ends - (counts - 1) / 2)[places]
    return means
