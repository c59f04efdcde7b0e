"""Runs against a plain reading of their rules: order, cutting, selecting, normalising, fusing."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from spaniel.data import Run, fuse_rrf, fuse_weighted
from spaniel.errors import UsageError

# Few values, so that ties are common; among them the awkward ones.
SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 2.5, 1e-45, -1e-45, 3.4e38, -3.4e38]), st.floats(-100, 100, width=32)
)
LISTS = st.dictionaries(st.integers(0, 12), SCORES, max_size=8).map(lambda d: list(d.items()))
RUNS = st.lists(LISTS, max_size=5)
NORMS = st.sampled_from(["min-max", "z-score", "softmax", "none"])


def ordered(pairs: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return sorted(((row, float(np.float32(score))) for row, score in pairs), key=lambda pair: (-pair[1], pair[0]))


def lists_of(run: Run) -> list[list[tuple[int, float]]]:
    return [list(zip(*(part.tolist() for part in run.of(query)), strict=True)) for query in range(len(run))]


def scale(scores: list[float], norm: str) -> list[float]:
    if norm == "none" or not scores:
        return scores
    high, low, count = max(scores), min(scores), len(scores)
    if norm == "min-max":
        return [1.0 if high == low else (score - low) / (high - low) for score in scores]
    if norm == "softmax":
        powers = [math.exp(score - high) for score in scores]
        return [power / math.fsum(powers) for power in powers]
    if high == low:
        return [0.0] * count
    mean = math.fsum(scores) / count
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / count)
    return [(score - mean) / deviation for score in scores]


@given(RUNS)
def test_order(lists: list[list[tuple[int, float]]]) -> None:
    run = Run.from_lists(lists)
    assert lists_of(run) == [ordered(one) for one in lists]
    assert (run.offsets.dtype, run.rows.dtype, run.scores.dtype) == (np.int64, np.int32, np.float32)
    assert run.lengths.tolist() == [len(one) for one in lists]
    assert run.owners.tolist() == [query for query, one in enumerate(lists) for _ in one]
    assert run.ranks.tolist() == [rank for one in lists for rank in range(len(one))]


@given(RUNS, st.integers(0, 9))
def test_cut(lists: list[list[tuple[int, float]]], k: int) -> None:
    assert lists_of(Run.from_lists(lists).cut(k)) == [ordered(one)[:k] for one in lists]


@given(RUNS, RUNS, st.data())
def test_select_and_concatenate(first: list, second: list, data: st.DataObject) -> None:
    one, two = Run.from_lists(first), Run.from_lists(second)
    both = Run.concatenate([one, two, Run.empty(1)])
    assert lists_of(both) == [*lists_of(one), *lists_of(two), []]
    positions = data.draw(st.lists(st.integers(0, len(both) - 1), max_size=6))
    assert lists_of(both.select(positions)) == [lists_of(both)[position] for position in positions]
    assert Run.concatenate([]) == Run.empty(0)


@given(st.integers(0, 4), st.integers(0, 5), st.data())
def test_from_matrix(queries: int, k: int, data: st.DataObject) -> None:
    lines = [data.draw(st.permutations(range(-2, 8)))[:k] for _ in range(queries)]
    rows = np.array(lines, np.int64).reshape(queries, k)
    scores = data.draw(hnp.arrays(np.float32, (queries, k), elements=SCORES.map(lambda x: float(np.float32(x)))))
    scores[rows < 0] = np.nan
    expected = [
        ordered([(row, score) for row, score in zip(r, s, strict=True) if row >= 0])
        for r, s in zip(rows.tolist(), scores.tolist(), strict=True)
    ]
    assert lists_of(Run.from_matrix(rows, scores)) == expected


@given(
    st.lists(LISTS.map(lambda one: [(row, score / 1e3) for row, score in one if abs(score) < 1e30]), max_size=4), NORMS
)
def test_normalise(lists: list[list[tuple[int, float]]], norm: str) -> None:
    run = Run.from_lists(lists)
    got = run.normalise(norm)
    for one, pairs in zip(lists_of(run), lists_of(got), strict=True):
        expected = dict(zip([row for row, _ in one], scale([score for _, score in one], norm), strict=True))
        assert {row for row, _ in pairs} == expected.keys()
        assert pairs == ordered(pairs)
        for row, score in pairs:
            assert score == pytest.approx(expected[row], rel=1e-5, abs=1e-6)


MILD = st.dictionaries(st.integers(0, 9), st.integers(-8, 8).map(lambda x: x / 4), max_size=6).map(
    lambda d: list(d.items())
)
SYSTEMS = st.integers(0, 3).flatmap(lambda n: st.lists(st.lists(MILD, min_size=n, max_size=n), min_size=1, max_size=3))


@given(SYSTEMS, NORMS, st.sampled_from(["lowest", "zero"]), st.data())
def test_fuse_weighted(systems: list, norm: str, missing: str, data: st.DataObject) -> None:
    count = len(systems)
    weights = data.draw(
        st.one_of(st.none(), st.lists(st.sampled_from([0.3, 0.7, 1.0, -1.0]), min_size=count, max_size=count))
    )
    got = fuse_weighted([Run.from_lists(lists) for lists in systems], weights, norm, missing)
    assert len(got) == len(systems[0])
    for query, pairs in enumerate(lists_of(got)):
        expected: dict[int, float] = {row: 0.0 for lists in systems for row, _ in lists[query]}
        for lists, weight in zip(systems, weights or [1.0] * count, strict=True):
            rows = [row for row, _ in lists[query]]
            raw = [float(np.float32(score)) for _, score in lists[query]]
            scaled = dict(zip(rows, scale(raw, norm), strict=True))
            floor = 0.0
            if rows and missing == "lowest" and norm != "min-max":
                floor = min(scaled.values())
            for row in expected:
                expected[row] += weight * scaled.get(row, floor)
        assert {row for row, _ in pairs} == expected.keys()
        assert pairs == ordered(pairs)
        for row, score in pairs:
            assert score == pytest.approx(expected[row], rel=1e-5, abs=1e-5)


@given(SYSTEMS, st.sampled_from([0, 1, 60]))
def test_fuse_rrf(systems: list, k: int) -> None:
    got = fuse_rrf([Run.from_lists(lists) for lists in systems], k)
    for query, pairs in enumerate(lists_of(got)):
        expected: dict[int, float] = {}
        for lists in systems:
            for rank, (row, _) in enumerate(ordered(lists[query]), 1):
                expected[row] = expected.get(row, 0.0) + 1 / (k + rank)
        assert pairs == ordered(list(expected.items()))


def test_a_list_of_equal_scores() -> None:
    run = Run.from_lists([[(row, 0.1) for row in range(7)]])
    assert run.normalise("min-max").scores.tolist() == [1.0] * 7
    assert run.normalise("z-score").scores.tolist() == [0.0] * 7
    assert run.normalise("softmax").scores.tolist() == pytest.approx([1 / 7] * 7)


def test_min_max_gives_missing_documents_zero_although_equal_scores_map_to_one() -> None:
    level, other = Run.from_lists([[(0, 5.0), (1, 5.0)]]), Run.from_lists([[(2, 3.0), (1, 1.0)]])
    assert lists_of(fuse_weighted([level, other])) == [[(0, 1.0), (1, 1.0), (2, 1.0)]]


def test_runs_are_frozen_and_leave_their_sources_alone() -> None:
    rows, scores = np.array([1, 0], np.int32), np.array([1.0, 2.0], np.float32)
    run = Run.build([0, 2], rows, scores)
    with pytest.raises(ValueError, match="read-only"):
        run.scores[0] = 9
    scores[0] = 5
    assert rows.tolist() == [1, 0]
    assert run != "a run"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1, 3], [0, 1, 2], [1, 2, math.nan]), "list of query 1 .*NaN"),
        (([0, 0, 2], [4, 4], [1, 2]), "list of query 1 has row 4 twice"),
        (([0, 2], [4, 4], [1, 1]), "row 4 twice"),
        (([0, 1], [-1], [1]), "from -1"),
        (([0, 1], [2**31], [1]), "rows are from 0"),
        (([0, 1], [0.5], [1]), "whole numbers"),
        (([0, 2], [0], [1]), "end with 1"),
        (([1, 1], [0], [1]), "begin with 0"),
        (([], [], []), "begin with 0"),
        (([0, 2, 1, 2], [0, 1], [1, 1]), "not decrease"),
        (([0, 1], [0], [1, 2]), "one length"),
    ],
)
def test_what_is_no_run(arguments: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Run.build(*arguments)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda run: run.cut(-1), "not after -1"),
        (lambda run: run.normalise("max"), "min-max"),
        (lambda run: Run.from_lists([[(0, math.inf), (1, 0.0)]]).normalise("min-max"), "query 0 has an infinite"),
        (lambda run: fuse_rrf([run], k=-1), "at least 0"),
        (lambda run: fuse_rrf([run, Run.empty(5)]), "same queries"),
        (lambda run: fuse_rrf([]), "same queries"),
        (lambda run: fuse_weighted([run], [1, 2]), "1 runs need"),
        (lambda run: fuse_weighted([run], [math.nan]), "finite"),
        (lambda run: fuse_weighted([run], missing="mean"), "lowest or zero"),
        (lambda run: Run.from_matrix(np.zeros((2, 2), int), np.zeros((2, 3))), "one shape"),
    ],
)
def test_misuse(work, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        work(Run.from_lists([[(0, 1.0)]]))


def test_lists_in_order_cost_little() -> None:
    queries, k = 2000, 1000
    rng = np.random.default_rng(0)
    rows = (np.arange(k, dtype=np.int32) * 977 + rng.integers(0, 10**6, (queries, 1), dtype=np.int32)) % 10**6
    scores = np.ascontiguousarray(np.broadcast_to(np.linspace(9, 1, k, dtype=np.float32), rows.shape))

    def seconds(work) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)

    # Sorting the rows, to find one that comes twice, is the greater part; sorting by score would be many times that.
    assert seconds(lambda: Run.from_matrix(rows, scores)) < 5 * seconds(lambda: np.sort(rows, axis=1))
