"""Which sets of documents any query vector at all could return: separation by a plane, as a linear program.

A vector u returns the set S first exactly where some threshold t has ``u v_i > t`` for the documents of S and ``u v_j < t``
for all others: S is a "k-set" of the points. So a set that is out of reach is so for every encoder of queries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from spaniel import PluginError

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


def reach(documents: NDArray[Any], chosen: NDArray[np.integer[Any]]) -> Reach:
    """Find a query vector that returns a set of documents first.

    A few perceptron steps come first. The program maximises the margin over vectors with entries from -1 to 1. It begins
    with the documents that stand highest under a first guess, and takes in those that its solution gets wrong until there
    are none: the answer is that for all documents.

    Args:
        documents: ``(n, d)``; of length 1 for the margin to mean a cosine's.
        chosen: rows of the set.

    Raises:
        PluginError: the solver gives up.
    """
    points = np.asarray(documents, np.float64)
    inside = np.zeros(len(points), bool)
    inside[chosen] = True
    d = points.shape[1]
    wanted, others = points[inside], np.flatnonzero(~inside)
    if not len(others):
        return Reach(True, _unit(wanted.mean(axis=0)), float("inf"))
    guess, found = _guess(wanted, points[others])
    if found:
        return _reached(points, inside, guess)
    scores = points[others] @ guess
    active = np.zeros(len(others), bool)
    active[np.argsort(-scores, kind="stable")[:_ADDED]] = True
    while True:
        vector, margin = _separate(wanted, points[others[active]], d)
        if margin <= TOLERANCE:
            return Reach(False, np.zeros(d), 0.0)
        floor = (wanted @ vector).min()
        scores = points[others] @ vector
        wrong = ~active & (scores >= floor - margin * (1 - 1e-6))
        if not wrong.any():
            return _reached(points, inside, vector)
        order = np.argsort(-np.where(wrong, scores, -np.inf), kind="stable")
        active[order[: min(_ADDED, int(wrong.sum()))]] = True


def all_reachable(documents: NDArray[Any]) -> bool:
    """Return whether the documents are affinely independent, and so any of their sets can be returned.

    That is possible up to one document more than dimensions.
    """
    n, d = documents.shape
    if n > d + 1:
        return False
    return int(np.linalg.matrix_rank(np.column_stack([documents, np.ones(n)]))) == n


def _guess(wanted: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.float64], bool]:
    """Look for a vector by perceptron steps: cheap where the margin is wide, and no answer where nothing is found."""
    vector = wanted.mean(axis=0) - others.mean(axis=0)
    for _ in range(_STEPS):
        lowest, highest = int((wanted @ vector).argmin()), int((others @ vector).argmax())
        step = wanted[lowest] - others[highest]
        if step @ vector > TOLERANCE * np.linalg.norm(vector):
            return vector, True
        vector = vector + step
    return vector, False


def _separate(wanted: NDArray[Any], others: NDArray[Any], d: int) -> tuple[NDArray[np.float64], float]:
    """Maximise m with ``u w >= t + m`` for the wanted, ``u v <= t`` for the others, and ``|u_i| <= 1``."""
    ones = np.ones(len(wanted))
    above = np.column_stack([-wanted, ones, ones])
    below = np.column_stack([others, -np.ones(len(others)), np.zeros(len(others))])
    goal = np.zeros(d + 2)
    goal[-1] = -1
    bounds = [(-1, 1)] * d + [(None, None), (0, None)]
    matrix = np.concatenate([above, below])
    found = linprog(goal, A_ub=matrix, b_ub=np.zeros(len(matrix)), bounds=bounds, method="highs")
    if found.status != 0:
        raise PluginError("spaniel-limit", f"the linear program ended without an answer: {found.message}")
    return np.asarray(found.x[:d]), float(found.x[-1])


def _reached(points: NDArray[np.float64], inside: NDArray[np.bool_], vector: NDArray[np.float64]) -> Reach:
    query = _unit(vector)
    scores = points @ query
    return Reach(True, query, float(scores[inside].min() - scores[~inside].max()))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
