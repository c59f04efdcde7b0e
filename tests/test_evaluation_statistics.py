"""Intervals, tests and corrections agree with SciPy and with definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, false_discovery_control, permutation_test, ttest_1samp
from spaniel.evaluation import statistics as room
from spaniel.evaluation.statistics import (
    bootstrap_intervals,
    effect_size,
    holm,
    randomisation_tests,
    win_tie_loss,
)


def scores(queries: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.beta(1, 2, queries) * (rng.random(queries) > 0.2)


@pytest.mark.parametrize("queries", [12, 50, 225])
def test_intervals_agree_with_scipy(queries) -> None:
    values = np.stack([scores(queries, seed) for seed in range(3)])
    for (low, high), row in zip(bootstrap_intervals(values, seed=3), values, strict=True):
        theirs = bootstrap(
            (row,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
        ).confidence_interval
        spread = theirs.high - theirs.low
        assert low == pytest.approx(theirs.low, abs=0.03 * spread)
        assert high == pytest.approx(theirs.high, abs=0.03 * spread)


def test_intervals_hold_the_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    ends = bootstrap_intervals(rng.random((400, 60)), level=0.9)
    held = ((ends[:, 0] <= 0.5) & (ends[:, 1] >= 0.5)).mean()
    assert 0.84 < held < 0.94


def test_intervals_do_not_depend_on_other_rows_and_repeat_under_a_seed() -> None:
    values = np.stack([scores(40, seed) for seed in range(3)])
    together = bootstrap_intervals(values, seed=5)
    np.testing.assert_allclose(together[1], bootstrap_intervals(values[1:2], seed=5)[0], rtol=1e-12)
    assert not np.array_equal(together, bootstrap_intervals(values, seed=6))


def test_intervals_of_equal_values_and_of_no_queries() -> None:
    np.testing.assert_allclose(bootstrap_intervals(np.full((1, 7), 0.25)), [[0.25, 0.25]])
    assert bootstrap_intervals(np.zeros((2, 0))).tolist() == [[0, 0], [0, 0]]


@given(st.lists(st.integers(-8, 8), min_size=2, max_size=10), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_few_differences_are_tested_exactly(differences, equal) -> None:
    values = np.array(differences + [0] * equal) / 8
    theirs = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert randomisation_tests(values[None])[0] == pytest.approx(theirs)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05])
def test_many_differences_agree_with_scipy_and_nearly_with_student(shift) -> None:
    values = np.random.default_rng(4).normal(shift, 0.2, 150)
    ours = randomisation_tests(values[None], seed=1)[0]
    theirs = permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(2)
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.02)
    assert ours == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.03)


def test_p_values_are_even_where_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    p_values = randomisation_tests(rng.normal(size=(600, 30)))
    assert abs((p_values < 0.05).mean() - 0.05) < 0.03
    assert abs((p_values < 0.5).mean() - 0.5) < 0.06


def test_tests_are_symmetric_and_do_not_depend_on_other_rows() -> None:
    values = np.random.default_rng(0).normal(0.05, 0.2, (3, 60))
    together = randomisation_tests(values, seed=2)
    np.testing.assert_array_equal(together, randomisation_tests(-values, seed=2))
    assert randomisation_tests(values[1:2], seed=2)[0] == together[1]


def test_no_p_value_is_0() -> None:
    assert randomisation_tests(np.ones((1, 100)))[0] == pytest.approx(1 / (room.RESAMPLES + 1))
    assert randomisation_tests(np.ones((1, 5)))[0] == pytest.approx(2 / 2**5)
    assert randomisation_tests(np.zeros((1, 100)))[0] == 1
    assert randomisation_tests(np.zeros((2, 0))).tolist() == [1, 1]


def test_chunks_only_bound_memory(monkeypatch) -> None:
    values = np.random.default_rng(0).normal(0.02, 0.2, (2, 64))
    whole = bootstrap_intervals(values), randomisation_tests(values)
    monkeypatch.setattr(room, "_CELLS", 64 * 96)
    np.testing.assert_allclose(bootstrap_intervals(values), whole[0], rtol=1e-12)
    np.testing.assert_allclose(randomisation_tests(values), whole[1], atol=0.02)


def test_holm() -> None:
    # The example of Holm's step-down: sorted p times 4, 3, 2, 1, never decreasing.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []
    assert holm([0.9, 0.8]).tolist() == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_p_values_and_bonferroni(p_values) -> None:
    given_values, corrected = np.array(p_values), holm(p_values)
    assert (corrected >= given_values - 1e-15).all()
    assert (corrected <= np.minimum(1, given_values * len(given_values)) + 1e-12).all()
    assert (corrected >= false_discovery_control(given_values) - 1e-12).all()
    assert (np.diff(corrected[np.argsort(given_values, kind="stable")]) >= 0).all()


def test_counts_leave_rounding_aside() -> None:
    assert win_tie_loss(np.array([0.1, 1e-12, -1e-12, 0.0, -0.2, 0.3])) == (2, 3, 1)


def test_effect_sizes() -> None:
    assert effect_size(np.array([0.1, 0.3])) == pytest.approx(0.2 / np.std([0.1, 0.3], ddof=1))
    assert effect_size(np.zeros(4)) == 0
    assert effect_size(np.full(4, 0.1)) is None
    assert effect_size(np.array([0.1])) is None
