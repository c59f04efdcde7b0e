"""Measures of faithfulness on scores whose truth is known, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Contribution, Explanation, Stage, UsageError
from spaniel.testing import collection
from spaniel_explain import faithfulness as measures
from spaniel_explain.measuring import RANDOM, importances_of
from spaniel_explain.texts import words

WEIGHTS = np.array([1.0, 4.0, 2.0, 3.0])
ENDS = (10.0, 10.0)


def worth(masks: np.ndarray) -> np.ndarray:
    return 10.0 + masks @ WEIGHTS


def test_areas_of_a_sum_are_those_of_its_sorted_weights() -> None:
    best, worst = measures.deletion(worth, WEIGHTS, 4, ENDS), measures.deletion(worth, -WEIGHTS, 4, ENDS)
    # v falls from 1 over .6, .3, .1 to 0 with the heaviest word first; trapezoids of width 1/4.
    assert best == pytest.approx((0.5 + 0.6 + 0.3 + 0.1) / 4)
    assert worst == pytest.approx((0.5 + 0.9 + 0.7 + 0.4) / 4)
    assert measures.insertion(worth, WEIGHTS, 4, ENDS) == pytest.approx((0.4 + 0.7 + 0.9 + 0.5) / 4)
    assert measures.insertion(worth, WEIGHTS, 4, ENDS) == pytest.approx(1 - best)


def test_drop_and_increase() -> None:
    assert measures.drop(worth, WEIGHTS, 0.5, ENDS) == pytest.approx((0.3, 0.0))
    assert measures.drop(worth, -WEIGHTS, 0.25, ENDS) == pytest.approx((0.9, 0.0))

    def better_short(masks: np.ndarray) -> np.ndarray:
        return np.where(masks.sum(axis=1) == 2, 25.0, worth(masks))

    assert measures.drop(better_short, WEIGHTS, 0.5, ENDS) == (0.0, 1.0)


def test_words_that_do_not_raise_the_score_measure_nothing() -> None:
    assert measures.spread(worth, 4) == ENDS
    assert measures.spread(lambda masks: -masks.sum(axis=1).astype(float), 3) is None
    assert measures.spread(lambda masks: np.full(len(masks), 7.0), 3) is None


def test_sensitivity_is_the_largest_relative_change() -> None:
    importance = np.array([3.0, 4.0, 12.0])
    same, other = np.array([4.0, 12.0]), np.array([3.0, 9.0])
    assert measures.sensitivity(importance, [(0, same)]) == 0
    assert measures.sensitivity(importance, [(0, same), (1, other)]) == pytest.approx(3 / np.hypot(3, 12))
    assert np.isnan(measures.sensitivity(importance, []))


def test_agreement_is_spearmans() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(0, 5, 9).astype(float), rng.integers(0, 5, 9).astype(float)
        assert measures.correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert np.isnan(measures.correlation(np.ones(3), np.arange(3.0)))
    assert measures.overlap(np.array([3.0, 2, 1, 0]), np.array([0.0, 3, 2, 1]), 2) == 0.5
    assert measures.overlap(np.array([3.0, 2]), np.array([0.0, 3]), 5) == 1


def test_a_part_on_several_words_is_shared_by_their_letters() -> None:
    parts = (
        Contribution("ab cdef", 6.0, side="query", span=(0, 7)),
        Contribution("x", 1.0, side="document", span=(0, 1)),
        Contribution("g", 2.0, side="query", span=(8, 9)),
    )
    made = Explanation("t", "e", "ab cdef g", "d", 9.0, parts)
    assert importances_of(made, words("ab cdef g"), "query").tolist() == pytest.approx([2.0, 4.0, 2.0])
    with pytest.raises(UsageError, match="points at no words"):
        importances_of(Explanation("t", "e", "ab", "d", 0.0, ()), words("ab"), "query")


def test_the_command_compares_explainers(run_cli: Any, tmp_path: Path, stages: dict[str, Stage]) -> None:
    data = collection().write(tmp_path / "data")
    arguments = [
        "faithfulness", str(stages["dense"]), str(data), "--explainer", "occlusion", "--explainer", "gradient-input",
        "--queries", "3", "--noise", "1",
    ]  # fmt: skip
    report = run_cli(*arguments, "--json").json
    assert [row["explainer"] for row in report["explainers"]] == ["occlusion", "gradient-input", RANDOM]
    assert report["pairs"] + report["left_out"] == 3
    assert report["pairs"] > 0
    first = report["explainers"][0]
    assert first["deletion"]["low"] <= first["deletion"]["mean"] <= first["deletion"]["high"]
    assert first["model calls"]["mean"] >= 1
    assert report["agreement"][0]["explainers"] == ["occlusion", "gradient-input"]
    again = run_cli(*arguments, "--json").json
    assert again["agreement"] == report["agreement"]
    for one, other in zip(report["explainers"], again["explainers"], strict=True):
        assert one["deletion"] == other["deletion"]
    assert "deletion" in run_cli(*arguments).stdout
    refused = run_cli("faithfulness", "bm25", str(data), "--explainer", "occlusion", "--side", "document")
    assert refused.exit_code == 2
    assert "gives no score to altered texts" in refused.stderr
    arguments[arguments.index("gradient-input")] = "occlusion(side=document)"
    other = run_cli(*arguments)
    assert other.exit_code == 2
    assert "occlusion(side=document)` explains the document" in other.stderr
    taken = run_cli(
        *arguments[:4], "gradient-input", "--side", "document", "--queries", "2", "--noise", "0", "--json"
    ).json
    assert taken["explainers"][0]["deletion"]["mean"] > 0


@pytest.mark.parametrize(("pipeline", "explainer"), [("bm25", "bm25-terms"), ("bm25 >> rm3", "feedback-terms")])
def test_explainers_by_terms_are_measured(run_cli: Any, tmp_path: Path, pipeline: str, explainer: str) -> None:
    data = collection().write(tmp_path / "data")
    arguments = ["faithfulness", pipeline, str(data), "--explainer", explainer, "--explainer", "occlusion"]
    report = run_cli(*arguments, "--queries", "3", "--noise", "1", "--json").json
    terms, occlusion, _ = report["explainers"]
    assert report["pairs"] > 0
    assert terms["deletion"]["mean"] == pytest.approx(occlusion["deletion"]["mean"], abs=0.1)
    if pipeline == "bm25":
        # Scores of terms add up: both say the same of every word.
        assert terms["sensitivity"]["mean"] == pytest.approx(0, abs=1e-6)
        assert report["agreement"][0]["rank correlation"]["mean"] == pytest.approx(1)
