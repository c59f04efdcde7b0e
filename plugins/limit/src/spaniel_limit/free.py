"""Free embeddings: vectors without texts, fitted to the relevance matrix itself (section 4 of the paper).

No encoder of the same dimension can do better under the same loss: query and document vectors are the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel.data import topk

from spaniel_limit.config import FreeEmbeddingConfig
from spaniel_limit.patterns import all_sets

Floats = NDArray[np.floating[Any]]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's, as in the paper's code."""
_CELLS = 2**18
"""Scores that are held at once: the scores of all queries are never in memory together."""
_SAFE_TEMPERATURE = 0.05
"""Above it, the scores of unit vectors are so bounded that one shift fits all lines of a softmax."""


class Fitted(NamedTuple):
    """What a training came to.

    Attributes:
        hits: relevant documents among the first ``k``, over all queries, at the best look.
        total: how many there are to find.
        loss: of the last update.
        iterations: updates done.
        queries: ``(sets, d)``.
        documents: ``(n, d)``.
    """

    hits: int
    total: int
    loss: float
    iterations: int
    queries: Floats
    documents: Floats

    @property
    def solved(self) -> bool:
        """Whether every set was returned; told from whole numbers, since a ratio of float32 may miss 1."""
        return self.hits == self.total

    @property
    def accuracy(self) -> float:
        """Share of the relevant documents that were returned."""
        return self.hits / self.total


def sets_of(options: FreeEmbeddingConfig) -> NDArray[np.int64]:
    """Return the sets that are asked for, ``(sets, k)``: all in lexicographic order, or a sample of them."""
    sets = all_sets(options.n, options.k)
    if options.query_cap is None or options.query_cap >= len(sets):
        return sets
    rng = np.random.default_rng(options.seed + 1)
    return sets[rng.choice(len(sets), options.query_cap, replace=False)]


def fit(options: FreeEmbeddingConfig, advance: Callable[[int], None] = lambda done: None) -> Fitted:
    """Fit vectors until every set is returned, the loss stands still, or the updates are used up.

    Full batches, all documents as negatives, Adam, and vectors scaled to length 1 after each update. The loss that
    patience counts on is that before the update; the ranking is looked at every ``eval_every`` updates.

    Args:
        options: the experiment.
        advance: told how many updates were done since it was told last.
    """
    sets, dtype = sets_of(options), np.dtype(options.dtype)
    count = len(sets)
    streams = np.random.default_rng(options.seed).spawn(2)
    weights = np.concatenate(
        [stream.standard_normal((size, options.d)) for stream, size in zip(streams, (count, options.n), strict=True)]
    ).astype(dtype)
    _to_unit_length(weights)
    queries, documents = weights[:count], weights[count:]
    loss = InfoNce(sets, options.n, options.temperature, bounded=options.normalise)
    adam = Adam(weights, options.lr)
    gradient = np.empty_like(weights)
    best_loss, waited, best_hits, value, done = np.inf, 0, 0, np.inf, 0
    for step in range(options.max_iter):
        value = loss(queries, documents, gradient)
        adam.step(weights, gradient)
        if options.normalise:
            _to_unit_length(weights)
        done = step + 1
        if value < best_loss - options.min_delta:
            best_loss, waited = value, 0
        else:
            waited += 1
        if waited >= options.patience:
            break
        if step % options.eval_every == 0 or done == options.max_iter:
            advance(options.eval_every)
            best_hits = max(best_hits, count_hits(queries, documents, sets))
            if best_hits == sets.size:
                break
    return Fitted(best_hits, sets.size, float(value), done, queries.copy(), documents.copy())


class InfoNce:
    """The mean over all relevant pairs of the negative log-softmax over all documents, with its gradient in closed form.

    The gradient of the scores is ``(P - R / k) / sets``: P the softmax, R the relevance. Queries are taken in blocks
    that fit into a cache, and relevance is ``k`` numbers a query, not a matrix.

    Args:
        sets: ``(sets, k)``, relevant documents.
        n: documents.
        temperature: what scores are divided by.
        bounded: whether all vectors have length 1.
    """

    def __init__(self, sets: NDArray[np.int64], n: int, temperature: float, bounded: bool = True) -> None:
        self.sets, self.temperature = sets, temperature
        self._shift = 1 / temperature if bounded and temperature >= _SAFE_TEMPERATURE else None
        size = max(1, min(len(sets), _CELLS // n))
        self._blocks = []
        for start in range(0, len(sets), size):
            part = slice(start, min(start + size, len(sets)))
            lines = np.arange(part.stop - part.start)[:, None] * n
            self._blocks.append((part, (lines + sets[part]).ravel()))
        self._scores: Floats = np.zeros((size, n))

    def __call__(self, queries: Floats, documents: Floats, gradient: Floats) -> float:
        """Return the loss, and write its gradient.

        Args:
            queries: ``(sets, d)``.
            documents: ``(n, d)``.
            gradient: ``(sets + n, d)``, that of the queries before that of the documents; overwritten.
        """
        count, k = self.sets.shape
        if self._scores.dtype != queries.dtype:
            self._scores = self._scores.astype(queries.dtype)
        scaled = documents / queries.dtype.type(self.temperature)
        of_documents = gradient[count:]
        of_documents[:] = 0
        total = 0.0
        for part, relevant in self._blocks:
            mine = queries[part]
            scores = self._scores[: len(mine)]
            np.matmul(mine, scaled.T, out=scores)
            total -= float(scores.ravel()[relevant].sum(dtype=np.float64))
            shift = self._shift if self._shift is not None else scores.max(axis=1, keepdims=True)
            scores -= shift
            np.exp(scores, out=scores)
            sums = scores.sum(axis=1, keepdims=True)
            total += k * float((np.log(sums) + shift).sum(dtype=np.float64))
            scores /= sums
            scores.ravel()[relevant] -= 1 / k
            np.matmul(scores, scaled, out=gradient[part])
            of_documents += scores.T @ mine
        gradient[:count] /= count
        of_documents /= count * self.temperature
        return total / (count * k)


class Adam:
    """Adam (Kingma and Ba, 2015) over one array, without any allocation in a step."""

    def __init__(self, weights: Floats, lr: float) -> None:
        self.lr, self.steps = lr, 0
        self._mean, self._square, self._move = (np.zeros_like(weights) for _ in range(3))

    def step(self, weights: Floats, gradient: Floats) -> None:
        """Move the weights against the gradient, which is overwritten."""
        self.steps += 1
        self._mean *= BETA1
        np.multiply(gradient, 1 - BETA1, out=self._move)
        self._mean += self._move
        self._square *= BETA2
        np.multiply(gradient, gradient, out=gradient)
        gradient *= 1 - BETA2
        self._square += gradient
        np.divide(self._square, 1 - BETA2**self.steps, out=gradient)
        np.sqrt(gradient, out=gradient)
        gradient += EPSILON
        np.divide(self._mean, gradient, out=self._move)
        self._move *= self.lr / (1 - BETA1**self.steps)
        weights -= self._move


def count_hits(queries: Floats, documents: Floats, sets: NDArray[np.int64]) -> int:
    """Count relevant documents among the first ``k`` of each query, ties by the lower document."""
    n, k = len(documents), sets.shape[1]
    hits = 0
    size = max(1, _CELLS // n)
    for start in range(0, len(sets), size):
        found, _ = topk(np.asarray(queries[start : start + size] @ documents.T, np.float32), k)
        hits += int((found[:, :, None] == sets[start : start + size, None, :]).sum())
    return hits


def _to_unit_length(weights: Floats) -> None:
    lengths = np.sqrt(np.einsum("ij,ij->i", weights, weights))
    weights /= lengths[:, None]
