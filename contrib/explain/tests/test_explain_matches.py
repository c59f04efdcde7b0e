"""Matches, dimensions and moves are exact; every explainer keeps the promises of its kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from spaniel import Context, Corpus, Stage
from spaniel.explain import explain_pipeline
from spaniel.testing import collection, contract
from spaniel.testing.case import Case
from spaniel.testing.contracts import promises_of
from spaniel_explain.naming import name_vectors

QUERY = "which dog retrieves game"
EXPLAINERS = {
    "occlusion": ("dense", "sparse", "cross", "maxsim"),
    "shapley": ("dense", "cross"),
    "integrated-gradients": ("dense", "sparse", "cross"),
    "gradient-input": ("dense", "cross"),
    "head-gradients": ("dense", "cross"),
    "maxsim-matches": ("maxsim",),
    "vector-dimensions": ("dense",),
}
SLOW = {
    "occlusion": ("dense", "sparse", "cross"),
    "shapley": ("dense",),
    "gradient-input": ("dense", "cross"),
    "head-gradients": ("dense",),
    "integrated-gradients": ("cross",),
}
"""Pairs of explainer and stage that are covered by others but for the stage or the explainer."""
PROMISES = [name for name in promises_of("explain") if name not in promises_of("")]

test_moves = contract("explain/stage-moves", target="bm25 % 6 >> cut(k=5)")
test_bm25_occlusion = contract("explain/occlusion", target="bm25")
test_fusion_parts = contract("explain/fusion-parts", target="rrf(bm25, 0.3 * bm25 + 0.7 * bm25(b=0))")


@pytest.mark.parametrize(
    ("explainer", "name"),
    [
        pytest.param(explainer, name, marks=[pytest.mark.slow] if name in SLOW.get(explainer, ()) else [])
        for explainer, names in EXPLAINERS.items()
        for name in names
    ],
)
def test_promises(explainer: str, name: str, stages: dict[str, Stage], tmp_path: Path) -> None:
    options = {"steps": 4} if explainer == "integrated-gradients" else {}
    for number, promise in enumerate(PROMISES):
        case = Case(
            f"explain/{explainer}", tmp_path / str(number), options=options, target=str(stages[name]), tolerance=1e-3
        )
        promises_of("explain")[promise](case)


def test_matches_add_up_and_are_the_best(context: Context, corpus: Corpus, stages: dict[str, Stage]) -> None:
    encoder = stages["maxsim"].options["encoder"]
    for made in explain_pipeline(context, Stage("bm25") >> stages["maxsim"], QUERY, [0, 1, 2], corpus):
        assert made.remainder == 0
        asked = context.create("encode", encoder).encode([QUERY], "query")["multi-vector"]
        held = context.create("encode", encoder).encode([made.text], "document")["multi-vector"]
        best = (asked.values @ held.values.T).max(axis=1).tolist()
        assert [part.score for part in made.contributions] == pytest.approx(best, abs=1e-5)
        words = [part for part in made.contributions if part.span]
        assert [made.query[slice(*part.span)] for part in words if part.span] == QUERY.split()
        for part in words:
            (match,) = part.children
            assert match.score == part.score
            if match.span:
                assert made.text[slice(*match.span)] == match.label


def test_vectors_without_names_are_numbered() -> None:
    assert name_vectors(object(), "a b", "query", 2) == [("vector 1", 0, 0), ("vector 2", 0, 0)]


def test_dimensions_add_up(context: Context, corpus: Corpus, stages: dict[str, Stage]) -> None:
    (made,) = explain_pipeline(context, stages["dense"], QUERY, [0], corpus, "vector-dimensions(top=5)")
    assert len(made.contributions) == 6
    sizes = [abs(part.score) for part in made.contributions[:5]]
    assert sizes == sorted(sizes, reverse=True)
    assert made.total() == pytest.approx(made.stages[-1].score, abs=1e-5)


def test_moves_tell_what_each_stage_did(context: Context, stages: dict[str, Stage]) -> None:
    plain = collection()
    corpus, query = plain.corpus(), plain.queries.texts[0]
    pipeline = Stage("bm25") % 4 >> stages["maxsim"]
    full = context.run(pipeline, plain.queries.select([0]), corpus)
    first = context.run("bm25", plain.queries.select([0]), corpus)
    rows = first.rows.tolist()
    for rank, (row, made) in enumerate(
        zip(rows, explain_pipeline(context, pipeline, query, rows, corpus, "stage-moves"), strict=True), 1
    ):
        assert made.contributions[0].score == rank
        if row in full.rows:
            assert made.score == full.rows.tolist().index(row) + 1
            assert made.contributions[2].score == made.score - rank
        else:
            assert made.contributions[1].note == "dropped"
            assert made.score == rank
    lacking = next(row for row in range(len(corpus)) if row not in rows)
    (made,) = explain_pipeline(context, pipeline, query, [lacking], corpus, "stage-moves")
    assert made.contributions[0].score == len(rows) + 1


def test_sparse_contributions_stand_beside_gradients(
    context: Context, corpus: Corpus, stages: dict[str, Stage]
) -> None:
    """Both explain one score: by terms exactly, by words of the query up to the stated gap."""
    exact, by_words = (
        explain_pipeline(context, stages["sparse"], QUERY, [1], corpus, name)[0]
        for name in ("sparse-terms", "integrated-gradients")
    )
    assert exact.score == pytest.approx(by_words.score, abs=1e-4)
