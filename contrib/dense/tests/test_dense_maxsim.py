"""Search over several vectors a text, beside the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, UsageError
from spaniel.data import DenseVectors, MultiVectors, save_vectors
from spaniel.indexing import index_need, open_index
from spaniel.store import Need, Recipe
from spaniel_dense import maxsim
from spaniel_dense.maxsim import MaxSimIndex


def multi(lengths: list[int], width: int, seed: int, dtype: Any = np.float32, small: bool = False) -> MultiVectors:
    rng = np.random.default_rng(seed)
    size = (sum(lengths), width)
    values = rng.integers(-2, 3, size) if small else rng.standard_normal(size)
    return MultiVectors(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), values.astype(dtype))


lengths = st.lists(st.integers(0, 6), max_size=30)


@settings(max_examples=100, deadline=None)
@given(documents=lengths, queries=lengths, k=st.integers(1, 40), block=st.integers(1, 200), data=st.data())
def test_every_block_and_tie(documents: list[int], queries: list[int], k: int, block: int, data: Any) -> None:
    # Small whole numbers: all sums are exact, and ties are many.
    held, asked = multi(documents, 3, 0, small=True), multi(queries, 3, 1, small=True)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(held), max_size=len(held))), bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maxsim, "BLOCK", block)
        run = MaxSimIndex(held).search(asked, k, mask)
    scores = asked.maxsim(held)
    for query in range(len(asked)):
        rows = sorted(np.flatnonzero(mask), key=lambda row: (-scores[query, row], row))[:k]
        expected = rows if queries[query] else []
        assert run.of(query)[0].tolist() == expected
        assert run.of(query)[1].tolist() == [scores[query, row] for row in expected]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_beside_the_definition(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    held = multi(rng.integers(1, 40, 800).tolist(), 32, 0, dtype, small=dtype is np.int8)
    asked = multi(rng.integers(1, 33, 70).tolist(), 32, 1)
    run = MaxSimIndex(held).search(asked, 20)
    scores = asked.maxsim(held)
    best = -np.sort(-scores, axis=1)[:, :20]
    assert np.allclose(run.scores.reshape(70, 20), best, rtol=1e-5, atol=1e-4)
    assert np.allclose(np.take_along_axis(scores, run.rows.reshape(70, 20), axis=1), best, rtol=1e-5, atol=1e-4)


def test_files_are_linked(context: Context) -> None:
    held = multi([3, 0, 2, 1], 8, 0)
    source = Need(Recipe("vectors", "test/multi", "1"), lambda draft: save_vectors(held, draft.file("multi-vector")))
    index = open_index(context, "maxsim", source, "multi-vector")
    kept = context.obtain(index_need(context, "maxsim", source, "multi-vector")).path / "vectors"
    given = context.obtain(source).path / "multi-vector"
    for name in ("values.npy", "offsets.npy"):
        assert (kept / name).stat().st_ino == (given / name).stat().st_ino
    assert isinstance(index.vectors.values, np.memmap)


def test_what_maxsim_does_not_take(context: Context) -> None:
    index = MaxSimIndex(multi([2, 1], 4, 0))
    for queries in (multi([1], 5, 0), DenseVectors(np.ones((1, 4), np.float32)), ["text"]):
        with pytest.raises(UsageError, match="4 dimensions"):
            index.search(queries, 3)
    bad = multi([1, 2, 1], 4, 0)
    bad.values[2, 1] = np.nan
    with pytest.raises(UsageError, match="not finite"):
        index.search(bad, 3)
    source = Need(Recipe("vectors", "test/bad", "1"), lambda draft: save_vectors(bad, draft.file("multi-vector")))
    with pytest.raises(UsageError, match="row 1 is not finite"):
        open_index(context, "maxsim", source, "multi-vector")
