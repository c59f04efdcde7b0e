"""The best entries of score matrices."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from spaniel.data import Run, topk
from spaniel.errors import UsageError

ELEMENTS = st.sampled_from([0.0, -0.0, 1.0, 2.0, -3.0, float("inf"), float("-inf")])
SHAPES = st.tuples(st.integers(0, 4), st.integers(0, 9))


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=ELEMENTS)), st.integers(0, 11))
def test_exact_under_the_tie_rule(scores: np.ndarray, k: int) -> None:
    columns, values = topk(scores, k)
    width = min(k, scores.shape[1])
    assert columns.shape == values.shape == (len(scores), width)
    assert (columns.dtype, values.dtype) == (np.int32, np.float32)
    for line, (got, its) in zip(scores, zip(columns, values, strict=True), strict=True):
        finite = [column for column in range(len(line)) if line[column] != -np.inf]
        best = sorted(finite, key=lambda column: (-line[column], column))[:width]
        assert got.tolist() == best + [-1] * (width - len(best))
        assert its.tolist() == [line[column] for column in best] + [-np.inf] * (width - len(best))
    Run.from_matrix(columns, values)


def test_ties_at_the_cut_go_to_the_lower_column() -> None:
    columns, _ = topk(np.ones((3, 1000), np.float32), 10)
    assert columns.tolist() == [list(range(10))] * 3


def test_scores_are_compared_as_float32() -> None:
    columns, values = topk(np.array([[1.0, 1.0 + 1e-12, 0.5]]), 2)
    assert columns.tolist() == [[0, 1]]
    assert values.dtype == np.float32


@pytest.mark.parametrize(("scores", "k"), [([[0.0]], -1), ([0.0], 1), ([[0.0, 1.0], [np.nan, 1.0]], 1)])
def test_misuse(scores: list, k: int) -> None:
    with pytest.raises(UsageError, match=r"topk takes|line 1 .*NaN"):
        topk(np.array(scores, np.float32), k)


def test_near_the_speed_of_a_partition() -> None:
    scores = np.random.default_rng(0).random((8, 500_000), dtype=np.float32)

    def seconds(work) -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)

    assert seconds(lambda: topk(scores, 100)) < 4 * seconds(lambda: np.argpartition(scores, -100, axis=1))
