"""Which sets of documents any query vector at all could return: separation by a plane, as a linear program.

A vector u returns the set S first exactly where some threshold t has ``u v_i > t`` for the documents of S and ``u v_j < t``
for all others: S is a "k-set" of the points. So a set that is out of reach is so for every encoder of queries. Queries of
terms have weights of 0 or more: the same program over vectors without negative entries.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, issparse
from spaniel import PluginError

Points: TypeAlias = Any
"""``(n, d)``: an array, or a sparse matrix of SciPy, whose rows are compressed."""
TOLERANCE = 1e-9
"""Margins of the linear program that count as 0, with entries of u up to 1 and documents of length 1."""
_ADDED = 200
"""Documents that are taken into the program at once, those that stand highest first."""
_STEPS = 200
"""Perceptron steps before the program is asked."""


class Reach(NamedTuple):
    """Whether a set can be returned.

    Attributes:
        reachable: whether some query vector does.
        query: that vector, of length 1; of zeros where there is none.
        margin: how far the set stands above all others under it, which need not be the widest; 0 where there is none.
    """

    reachable: bool
    query: NDArray[np.float64]
    margin: float


def reach(documents: Points, chosen: NDArray[np.integer[Any]], nonnegative: bool = False) -> Reach:
    """Find a query vector that returns a set of documents first.

    A few perceptron steps come first. The program maximises the margin over vectors with entries from -1 to 1. It begins
    with the documents that stand highest under a first guess, and takes in those that its solution gets wrong until there
    are none: the answer is that for all documents.

    Args:
        documents: ``(n, d)``, an array or a sparse matrix; of length 1 for the margin to mean a cosine's.
        chosen: rows of the set.
        nonnegative: whether queries have no entry below 0, as those that weigh terms.

    Raises:
        PluginError: the solver gives up.
    """
    n, d = documents.shape
    inside = np.zeros(n, bool)
    inside[chosen] = True
    wanted, others, terms = _parts(documents, inside, nonnegative)
    low = 0.0 if nonnegative else -np.inf
    if not others.shape[0]:
        vector = np.maximum(wanted.mean(axis=0), low)
        return Reach(True, _whole(vector, terms, d), float("inf"))
    if not len(terms):
        return Reach(False, np.zeros(d), 0.0)
    guess, found = _guess(wanted, others, low)
    if found:
        return _reached(wanted, others, guess, terms, d)
    scores = others @ guess
    active = np.zeros(len(scores), bool)
    active[np.argsort(-scores, kind="stable")[:_ADDED]] = True
    while True:
        vector, margin = _separate(wanted, _dense(others[active]), nonnegative)
        if margin <= TOLERANCE:
            return Reach(False, np.zeros(d), 0.0)
        floor = (wanted @ vector).min()
        scores = others @ vector
        wrong = ~active & (scores >= floor - margin * (1 - 1e-6))
        if not wrong.any():
            return _reached(wanted, others, vector, terms, d)
        order = np.argsort(-np.where(wrong, scores, -np.inf), kind="stable")
        active[order[: min(_ADDED, int(wrong.sum()))]] = True


def all_reachable(documents: NDArray[Any]) -> bool:
    """Return whether the documents are affinely independent, and so any of their sets can be returned.

    That is possible up to one document more than dimensions.
    """
    n, d = documents.shape
    if n > d + 1:
        return False
    rank = int(np.linalg.matrix_rank(np.column_stack([documents, np.ones(n)])))
    return rank == int(n)


def _parts(
    documents: Points, inside: NDArray[np.bool_], nonnegative: bool
) -> tuple[NDArray[np.float64], Points, NDArray[np.intp]]:
    """Return the set, all other documents, and the columns that count.

    A weight of 0 or more on a term that adds nothing to the set, and takes nothing from the others, helps nothing. Documents
    without any term that counts are one: the first of them stands for all.
    """
    if not issparse(documents):
        points = np.asarray(documents, np.float64)
        wanted, others = points[inside], points[~inside]
    else:
        points = csr_matrix(documents, dtype=np.float64)
        wanted, others = points[inside], points[~inside]
    if not nonnegative:
        return _dense(wanted), others, np.arange(documents.shape[1])
    counts = _dense(wanted.max(axis=0)).ravel() > 0
    if others.shape[0]:
        counts |= _dense(others.min(axis=0)).ravel() < 0
    terms = np.flatnonzero(counts)
    others = others[:, terms]
    empty = np.flatnonzero(np.asarray((others != 0).sum(axis=1)).ravel() == 0)
    kept = np.ones(others.shape[0], bool)
    kept[empty[1:]] = False
    return _dense(wanted[:, terms]), others[kept], terms


def _dense(part: Points) -> NDArray[np.float64]:
    return np.asarray(part.toarray() if issparse(part) else part, np.float64)


def _guess(wanted: NDArray[np.float64], others: Points, low: float) -> tuple[NDArray[np.float64], bool]:
    """Look for a vector by perceptron steps: cheap where the margin is wide, and no answer where nothing is found."""
    vector = np.maximum(wanted.mean(axis=0) - np.asarray(others.mean(axis=0)).ravel(), low)
    for _ in range(_STEPS):
        lowest, highest = int((wanted @ vector).argmin()), int((others @ vector).argmax())
        step = wanted[lowest] - _dense(others[[highest]])[0]
        if step @ vector > TOLERANCE * np.linalg.norm(vector):
            return vector, True
        vector = np.maximum(vector + step, low)
    return vector, False


def _separate(
    wanted: NDArray[np.float64], others: NDArray[np.float64], nonnegative: bool
) -> tuple[NDArray[np.float64], float]:
    """Maximise m with ``u w >= t + m`` for the wanted, ``u v <= t`` for the others, and ``|u_i| <= 1`` or ``0 <= u_i <= 1``."""
    d = wanted.shape[1]
    ones = np.ones(len(wanted))
    above = np.column_stack([-wanted, ones, ones])
    below = np.column_stack([others, -np.ones(len(others)), np.zeros(len(others))])
    goal = np.zeros(d + 2)
    goal[-1] = -1
    bounds = [(0 if nonnegative else -1, 1)] * d + [(None, None), (0, None)]
    matrix = np.concatenate([above, below])
    found = linprog(goal, A_ub=matrix, b_ub=np.zeros(len(matrix)), bounds=bounds, method="highs")
    if found.status != 0:
        raise PluginError("spaniel-limit", f"the linear program ended without an answer: {found.message}")
    return np.asarray(found.x[:d]), float(found.x[-1])


def _reached(
    wanted: NDArray[np.float64], others: Points, vector: NDArray[np.float64], terms: NDArray[np.intp], d: int
) -> Reach:
    query = _whole(vector, terms, d)
    scores = query[terms]
    return Reach(True, query, float((wanted @ scores).min() - (others @ scores).max()))


def _whole(vector: NDArray[np.float64], terms: NDArray[np.intp], d: int) -> NDArray[np.float64]:
    """Return a vector over all dimensions, of length 1."""
    made = np.zeros(d)
    made[terms] = vector
    length = float(np.linalg.norm(made))
    return made / length if length > 0 else made
