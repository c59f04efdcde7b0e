"""What indexers are tried on: corpora, and random vectors of every form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spaniel.data import BinaryVectors, DenseVectors, MultiVectors, SparseVectors, Vectors, save_vectors
from spaniel.store import Draft, Need, Recipe
from spaniel.testing.case import Case, expect
from spaniel.testing.collections import collection

ROWS = 60
MANY = 2500
"""Documents of the clustered vectors, more than any index takes for few."""
CLUSTERED = ("dense", "sparse", "multi-vector")
"""Forms of vectors that can be clustered; binary ones have no score that all indexes of them share."""
_CLUSTERS = 40


class Source(NamedTuple):
    """Something to index, the name of the representation where it is vectors, and queries for it."""

    need: Need
    name: str
    size: int
    queries: Any
    twins: Sequence[tuple[int, int]]


def sources(case: Case, empty: bool = False) -> list[Source]:
    """Return something to index for each thing that the component takes."""
    takes = case.registered.component.takes
    known = [taken for taken in takes if taken == "corpus" or taken in _MAKE]
    expect(bool(known), f"the component takes {takes or 'nothing'}; here corpus, {', '.join(_MAKE)} are known")
    return [_corpus(empty) if taken == "corpus" else _vectors(taken, 0 if empty else ROWS) for taken in known]


def _corpus(empty: bool) -> Source:
    made = collection("empty" if empty else "odd")
    corpus = made.corpus()
    twins = [] if empty else [tuple(sorted(corpus.rows(["dog-0", "copy"]).tolist()))]
    return Source(corpus.need, "", len(corpus), [*made.queries.texts, "dog water"], twins)


def _vectors(form: str, rows: int) -> Source:
    vectors = _MAKE[form](np.random.default_rng(5), rows)
    twins = [(0, rows - 1)] if rows else []
    if twins:
        vectors = vectors.take([*range(rows - 1), 0])

    return Source(vectors_of(vectors), form, rows, _MAKE[form](np.random.default_rng(6), 8), twins)


def vectors_of(vectors: Vectors, what: str = "random") -> Need:
    """Name vectors that are at hand."""

    def build(draft: Draft) -> None:
        save_vectors(vectors, draft.file(vectors.form))
        draft.info["documents"] = len(vectors)

    recipe = Recipe("vectors", f"spaniel/{what}", "1", {"form": vectors.form, "rows": len(vectors)}, None, {})
    return Need(recipe, build)


def clustered(form: str) -> Source:
    """Return many vectors about a few centres, and queries from about them, too: what encoders make looks so."""
    rng = np.random.default_rng(7)
    owners = rng.integers(_CLUSTERS, size=MANY + 50)
    vectors = _AROUND[form](rng, owners)
    asked = vectors[MANY:]
    return Source(vectors_of(vectors[:MANY], "clustered"), form, MANY, asked, ())


def true_scores(queries: Vectors, documents: Vectors) -> NDArray[np.float32]:
    """Return the scores of all pairs by the definition of each form: ``(queries, documents)``."""
    if isinstance(queries, MultiVectors) and isinstance(documents, MultiVectors):
        return queries.maxsim(documents)
    if isinstance(queries, DenseVectors) and isinstance(documents, DenseVectors):
        return queries.dot(documents)
    assert isinstance(queries, SparseVectors)
    assert isinstance(documents, SparseVectors)
    return queries.dot(documents)


def _dense(rng: np.random.Generator, rows: int) -> Vectors:
    values = rng.normal(size=(rows, 16)).astype(np.float32)
    return DenseVectors(values / np.linalg.norm(values, axis=1, keepdims=True))


def _around_dense(rng: np.random.Generator, owners: NDArray[np.int64], width: int = 48) -> DenseVectors:
    values = rng.normal(size=(_CLUSTERS, width))[owners] + 0.6 * rng.normal(size=(len(owners), width))
    return DenseVectors((values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32))


def _around_multi(rng: np.random.Generator, owners: NDArray[np.int64]) -> MultiVectors:
    lengths = rng.integers(1, 4, size=len(owners))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiVectors(offsets, _around_dense(rng, np.repeat(owners, lengths), 16).values)


def _around_sparse(rng: np.random.Generator, owners: NDArray[np.int64]) -> SparseVectors:
    vocabulary, shared, own = 2000, 24, 8
    centres = np.stack([rng.choice(vocabulary, shared, replace=False) for _ in range(_CLUSTERS)])
    strength = rng.gamma(2.0, 0.5, size=(_CLUSTERS, shared))
    terms, weights = [], []
    for owner in owners:
        kept = rng.random(shared) < 0.7
        mine = rng.choice(vocabulary, own, replace=False)
        together, first = np.unique(np.concatenate([centres[owner][kept], mine]), return_index=True)
        strengths = np.concatenate([strength[owner][kept] * rng.gamma(8.0, 1 / 8, int(kept.sum())), rng.random(own)])
        terms.append(together)
        weights.append(strengths[first] + 0.05)
    indptr = np.concatenate([[0], np.cumsum([len(t) for t in terms])]).astype(np.int64)
    indices, values = np.concatenate(terms).astype(np.int32), np.concatenate(weights).astype(np.float32)
    return SparseVectors(indptr, indices, values, vocabulary)


_AROUND: Mapping[str, Callable[[np.random.Generator, NDArray[np.int64]], Vectors]] = {
    "dense": _around_dense,
    "sparse": _around_sparse,
    "multi-vector": _around_multi,
}


def _sparse(rng: np.random.Generator, rows: int) -> Vectors:
    terms = [np.sort(rng.choice(50, size=int(rng.integers(1, 12)), replace=False)) for _ in range(rows)]
    indptr = np.concatenate([[0], np.cumsum([len(t) for t in terms], dtype=np.int64)]).astype(np.int64)
    indices = np.concatenate([np.empty(0, np.int32), *terms]).astype(np.int32)
    return SparseVectors(indptr, indices, rng.random(len(indices), np.float32) + np.float32(0.1), 50)


def _multi(rng: np.random.Generator, rows: int) -> Vectors:
    lengths = rng.integers(1, 6, size=rows)
    values = rng.normal(size=(int(lengths.sum()), 16)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiVectors(offsets, values / np.linalg.norm(values, axis=1, keepdims=True))


def _binary(rng: np.random.Generator, rows: int) -> Vectors:
    return BinaryVectors(rng.integers(0, 256, size=(rows, 8), dtype=np.uint8), 64)


_MAKE: Mapping[str, Callable[[np.random.Generator, int], Vectors]] = {
    "dense": _dense,
    "sparse": _sparse,
    "multi-vector": _multi,
    "binary": _binary,
}
