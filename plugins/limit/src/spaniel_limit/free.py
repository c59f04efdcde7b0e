"""Free embeddings: vectors without texts, fitted to the relevance matrix itself (section 4 of the paper).

No encoder of the same dimension can do better under the same loss: query and document vectors are the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel.data import topk

from spaniel_limit.config import FreeEmbeddingConfig, TrainingConfig
from spaniel_limit.patterns import all_sets
from spaniel_limit.ranking import Wanted

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
        hits: relevant documents among the first as many of each query, over all queries, at the best look.
        total: how many there are to find.
        whole: queries whose first documents are just the relevant ones, at that look.
        loss: of the last update.
        iterations: updates done.
        queries: ``(sets, d)``.
        documents: ``(n, d)``.
    """

    hits: int
    total: int
    whole: int
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
    """Fit vectors to every set of ``k`` among ``n`` documents; see :func:`fit_wanted`."""
    return fit_wanted(Wanted.from_sets(sets_of(options)), options.n, options, advance)


def fit_wanted(
    wanted: Wanted, n: int, options: TrainingConfig, advance: Callable[[int], None] = lambda done: None
) -> Fitted:
    """Fit vectors to any judgments, until every set is returned, the loss stands still, or the updates are used up.

    Full batches, all documents as negatives, Adam, and vectors scaled to length 1 after each update. The loss that
    patience counts on is that before the update; the ranking is looked at every ``eval_every`` updates.

    Args:
        wanted: the rows that each query wants, of each one or more.
        n: documents.
        options: the training.
        advance: told how many updates were done since it was told last.
    """
    dtype, count = np.dtype(options.dtype), wanted.queries
    streams = np.random.default_rng(options.seed).spawn(2)
    weights = np.concatenate(
        [stream.standard_normal((size, options.d)) for stream, size in zip(streams, (count, n), strict=True)]
    ).astype(dtype)
    _to_unit_length(weights)
    queries, documents = weights[:count], weights[count:]
    loss = InfoNce(wanted, n, options.temperature, bounded=options.normalise)
    adam = Adam(weights, options.lr)
    gradient = np.empty_like(weights)
    best_loss, waited, best, value, done = np.inf, 0, (0, 0), np.inf, 0
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
            best = max(best, count_hits(queries, documents, wanted))
            if best[0] == len(wanted.rows):
                break
    return Fitted(best[0], len(wanted.rows), best[1], float(value), done, queries.copy(), documents.copy())


class InfoNce:
    """The mean over queries of the mean over their relevant documents of the negative log-softmax over all documents.

    Its gradient is in closed form: that of the scores is ``(P - R) / queries``, P the softmax, R the relevance with lines
    that add up to 1. Queries are taken in blocks that fit into a cache, and relevance is a number a pair, not a matrix.

    Args:
        wanted: the rows that each query wants.
        n: documents.
        temperature: what scores are divided by.
        bounded: whether all vectors have length 1.
    """

    def __init__(self, wanted: Wanted, n: int, temperature: float, bounded: bool = True) -> None:
        self.queries, self.temperature = wanted.queries, temperature
        self._shift = 1 / temperature if bounded and temperature >= _SAFE_TEMPERATURE else None
        size, bounds, sizes = max(1, min(wanted.queries, _CELLS // n)), wanted.bounds, wanted.sizes
        self._blocks = []
        for start in range(0, wanted.queries, size):
            stop = min(start + size, wanted.queries)
            pairs = slice(bounds[start], bounds[stop])
            owners = wanted.owners[pairs]
            self._blocks.append((slice(start, stop), (owners - start) * n + wanted.rows[pairs], 1 / sizes[owners]))
        self._scores: Floats = np.zeros((size, n))

    def __call__(self, queries: Floats, documents: Floats, gradient: Floats) -> float:
        """Return the loss, and write its gradient.

        Args:
            queries: ``(queries, d)``.
            documents: ``(n, d)``.
            gradient: ``(queries + n, d)``, that of the queries before that of the documents; overwritten.
        """
        count, dtype = self.queries, queries.dtype
        if self._scores.dtype != dtype:
            self._scores = self._scores.astype(dtype)
            self._blocks = [(part, relevant, shares.astype(dtype)) for part, relevant, shares in self._blocks]
        scaled = documents / dtype.type(self.temperature)
        of_documents = gradient[count:]
        of_documents[:] = 0
        total = 0.0
        for part, relevant, shares in self._blocks:
            mine = queries[part]
            scores = self._scores[: len(mine)]
            np.matmul(mine, scaled.T, out=scores)
            total -= float((scores.ravel()[relevant] * shares).sum(dtype=np.float64))
            shift = self._shift if self._shift is not None else scores.max(axis=1, keepdims=True)
            scores -= shift
            np.exp(scores, out=scores)
            sums = scores.sum(axis=1, keepdims=True)
            total += float((np.log(sums) + shift).sum(dtype=np.float64))
            scores /= sums
            scores.ravel()[relevant] -= shares
            np.matmul(scores, scaled, out=gradient[part])
            of_documents += scores.T @ mine
        gradient[:count] /= count
        of_documents /= count * self.temperature
        return total / count


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


def count_hits(queries: Floats, documents: Floats, wanted: Wanted) -> tuple[int, int]:
    """Count relevant documents among the first as many of each query, ties by the lower document, and queries with all."""
    n, sizes, bounds = len(documents), wanted.sizes, wanted.bounds
    deepest = int(sizes.max(initial=1))
    hits = whole = 0
    size = max(1, _CELLS // n)
    for start in range(0, wanted.queries, size):
        stop = min(start + size, wanted.queries)
        pairs, mine = slice(bounds[start], bounds[stop]), sizes[start:stop]
        relevant = np.zeros((stop - start, n), bool)
        relevant[wanted.owners[pairs] - start, wanted.rows[pairs]] = True
        found, _ = topk(np.asarray(queries[start:stop] @ documents.T, np.float32), deepest)
        counted = np.take_along_axis(relevant, found, axis=1) & (np.arange(found.shape[1]) < mine[:, None])
        hits += int(counted.sum())
        whole += int((counted.sum(axis=1) == mine).sum())
    return hits, whole


def _to_unit_length(weights: Floats) -> None:
    lengths = np.sqrt(np.einsum("ij,ij->i", weights, weights))
    weights /= lengths[:, None]
