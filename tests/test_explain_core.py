"""Explanations: adding up on random pipelines, surviving JSON, pointing into texts, showing themselves safely."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Component, Context, Contribution, Corpus, Explanation, Queries, UsageError
from spaniel.explain import explain_pipeline
from spaniel.explanation import Contrast, Place
from spaniel.explanation.shading import segments
from spaniel.hookspecs import hookimpl
from spaniel.plugins import load_registry
from spaniel.rerank import PointwiseReranker
from spaniel.testing import Case, collection
from spaniel.testing.promises.explain import adds_up

QUERY = "which dog retrieves game from water"
EVIL = "<script>alert(1)</script>'\"&\x1b[31m$x$\u202e"


class Overlap(PointwiseReranker):
    """Scores by the letters that two texts share."""

    def score(self, queries: Any, texts: Any) -> np.ndarray:
        return np.array([len(set(q) & set(t)) + len(t) / 100 for q, t in zip(queries, texts, strict=True)], np.float32)


class Half(Overlap):
    """Counts as much as the stage before."""

    def weight(self) -> float:
        return 0.5


class Letters:
    """Explains the score of :class:`Overlap` by its two parts."""

    def __init__(self, config: Any, context: Context) -> None:
        self.context = context

    def explain(self, target: Any, query: str, rows: Any, corpus: Corpus) -> list[Explanation]:
        made = []
        for name, text in zip(corpus.ids(rows), corpus.contents(rows), strict=True):
            score = float(target.score([query], [text])[0])
            parts = (Contribution("length", len(text) / 100), Contribution("letters", score - len(text) / 100))
            made.append(Explanation("", "letters", query, name, score, parts))
        return made


class Plugin:
    @staticmethod
    @hookimpl
    def rerank() -> Any:
        yield Component("letters-shared", f"{__name__}:Overlap", "")
        yield Component("letters-half", f"{__name__}:Half", "")

    @staticmethod
    @hookimpl
    def explain() -> Any:
        yield Component("letters", f"{__name__}:Letters", "", takes=("rerank/letters-shared", "rerank/letters-half"))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    registry = load_registry(warn=False)
    registry.register(Plugin(), "at-hand")
    context = Context(tmp_path_factory.mktemp("store"), registry=registry, keep=50)
    for kind, name, made in (
        ("rerank", "letters-shared", Overlap(None, context)),
        ("rerank", "letters-half", Half(None, context)),
        ("explain", "letters", Letters(None, context)),
    ):
        context._objects[context.bind(kind, name).digest] = made
    return context


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return collection().corpus()


NUMBERS = st.sampled_from([0.1, 0.3, 1.0, 2.5])
LEAVES = st.sampled_from(["bm25", "bm25(b=0)", "bm25(k1=0.1)", "bm25(method=robertson, k=5)", "bm25(k=1)"])
SYSTEMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner, NUMBERS).map(lambda t: f"rrf({t[0]}, {t[1]}, k={60 * t[2]:g}, weights=[{t[2]}, 1])"),
        st.tuples(inner, inner, NUMBERS, NUMBERS).map(lambda t: f"{t[2]} * ({t[0]}) + {t[3]} * ({t[1]})"),
        st.tuples(
            inner, inner, st.sampled_from(["z-score", "softmax", "none"]), st.sampled_from(["lowest", "zero"])
        ).map(lambda t: f"weighted({t[0]}, {t[1]}, norm={t[2]}, missing={t[3]})"),
        st.tuples(inner, st.integers(1, 9)).map(lambda t: f"({t[0]}) % {t[1]}"),
        inner.map(lambda t: f"({t}) >> letters-shared"),
        inner.map(lambda t: f"({t}) % 6 >> letters-half"),
        inner.map(lambda t: f"({t}) >> rrf(letters-shared, letters-half)"),
    ),
    max_leaves=4,
)


@given(SYSTEMS, st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_explanations_add_up_on_random_pipelines(
    context: Context, corpus: Corpus, expression: str, number: int
) -> None:
    query = collection().queries.texts[number]
    run = context.run(expression, Queries.from_lists(["query"], [query]), corpus)
    made = explain_pipeline(context, expression, query, run.rows.tolist(), corpus)
    for rank, (explanation, score) in enumerate(zip(made, run.scores.tolist(), strict=True), 1):
        assert explanation.total() == pytest.approx(score, rel=1e-5, abs=1e-5)
        assert abs(explanation.remainder) <= 1e-5 * max(1.0, abs(score))
        assert explanation.stages[-1] == Place(explanation.stages[-1].stage, rank, len(run.rows), score)
        again = Explanation.from_json(json.loads(json.dumps(explanation.to_json())))
        assert again.to_json() == explanation.to_json()
    if len(made) > 1:
        contrast = Contrast(made[0], made[-1])
        gap = float(run.scores[0]) - float(run.scores[-1])
        assert contrast.difference.total() == pytest.approx(gap, rel=1e-5, abs=1e-5)


def test_a_weighed_reranker_is_explained_as_it_ranks(context: Context, corpus: Corpus) -> None:
    run = context.run("bm25 % 6 >> letters-half", Queries.from_lists(["query"], [QUERY]), corpus)
    (made,) = explain_pipeline(context, "bm25 % 6 >> letters-half", QUERY, [int(run.rows[0])], corpus)
    assert [part.label for part in made.contributions] == ["length", "letters", "(mean of the list)", "cut(k=6)"]
    assert made.total() == pytest.approx(float(run.scores[0]), abs=1e-5)


def test_another_stage_can_be_explained(context: Context, corpus: Corpus) -> None:
    (made,) = explain_pipeline(context, "bm25 >> letters-shared", QUERY, [0], corpus, stage=1)
    assert made.target == "bm25"
    with pytest.raises(UsageError, match="stages 1 to 2"):
        explain_pipeline(context, "bm25 >> letters-shared", QUERY, [0], corpus, stage=3)
    with pytest.raises(UsageError, match="gives no scores"):
        explain_pipeline(context, "bm25 % 3", QUERY, [0], corpus, stage=2)
    with pytest.raises(UsageError, match=r"explains retrieve/bm25, .*not rerank/letters-shared"):
        explain_pipeline(context, "bm25 >> letters-shared", QUERY, [0], corpus, "bm25-terms")


PARTS = st.builds(
    lambda start, size, score, side: Contribution("x", score, side=side, span=(start, start + size)),
    st.integers(0, 12),
    st.integers(0, 6),
    st.floats(-5, 5),
    st.sampled_from(["query", "document"]),
)


@given(st.text(max_size=12), st.lists(PARTS, max_size=6))
@settings(max_examples=200, deadline=None)
def test_segments_join_to_the_text_and_sum_what_stands_there(text: str, parts: list[Contribution]) -> None:
    pieces = segments(text, parts, "query")
    assert "".join(piece.text for piece in pieces) == text
    at = 0
    for piece in pieces:
        for place in range(at, at + len(piece.text)):
            here = [p.score for p in parts if p.side == "query" and p.span and p.span[0] <= place < p.span[1]]
            assert (piece.score is None) == (not here)
            assert piece.score is None or piece.score == pytest.approx(sum(here))
        at += len(piece.text)


def explanation(label: str = "dog", score: float = 2.0, name: str = "d1") -> Explanation:
    text = f"a {label} in water"
    parts = (
        Contribution(
            label, score, "token", (Contribution(label, score, "match", side="document", span=(2, 3)),), label
        ),
        Contribution("water", -0.5, "token", side="document", span=(len(text) - 5, len(text))),
    )
    stages = (Place("bm25", 3, 9, 1.0), Place(f"x(y={label!r})", 1, 9, score - 0.25))
    return Explanation(label, "e", label, name, score - 0.25, parts, 0.25, {"side": label}, text, "score", stages)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_nothing_that_a_text_holds_becomes_code(tmp_path: Path) -> None:
    made = explanation(EVIL, name=EVIL)
    for page in (made.to_html(), Contrast(made, explanation(EVIL, 3.0, "other")).to_html()):
        assert "<script" not in page
        assert "alert(1)&lt;/script&gt;" in page
        assert "http" not in page
        assert "url(" not in page
    for text in (made.to_text(), Contrast(made, explanation(EVIL, 3.0, "other")).to_text()):
        assert "\x1b" not in text
        assert "\u202e" not in text
    coloured = made.to_text(colour=True)
    assert "\x1b[48;5;" in coloured
    assert "\x1b[31m" not in coloured
    for ending in ("png", "html", "json", "txt"):
        made.save(tmp_path / f"x.{ending}")
        Contrast(made, explanation(EVIL, 3.0, "other")).save(tmp_path / f"y.{ending}")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "x.html").read_text().count("<script>") == 1
    assert Explanation.from_json(json.loads((tmp_path / "x.json").read_text())) == made
    assert Contrast.from_json(json.loads((tmp_path / "y.json").read_text())).first == made
    with pytest.raises(UsageError, match=r"\.json, \.html"):
        made.save(tmp_path / "x.pdf")


def fused() -> Explanation:
    """Two systems whose own scores are of other sizes, each with parts in both texts."""
    text = "a dog in the water"
    dog = Contribution("dog", 6.0, places=(("query", 0, 3), ("document", 2, 5)))
    water = Contribution("water", 2.0, places=(("query", 4, 9), ("document", 13, 18)))
    lexical = Contribution("bm25", 0.04, "stage", (dog, water), "its own score 8.0000")
    dense = Contribution("dense", 0.01, "stage", (Contribution("water", 0.5, "token", side="query", span=(4, 9)),))
    places = (Place("bm25", 1, 9, 0.05), Place("cut(k=3)", 0, 3, 0.0))
    return Explanation("rrf(bm25, dense)", "e", "dog water", "d", 0.05, (lexical, dense), text=text, stages=places,
                       pipeline="rrf(bm25, dense) % 3")  # fmt: skip


def test_marks_of_fused_systems_are_shares_of_what_the_systems_add() -> None:
    made = fused()
    query = {piece.text: piece.score for piece in segments(made.query, made.contributions, "query")}
    assert query["dog"] == pytest.approx(0.03)
    assert query["water"] == pytest.approx(0.01 + 0.01)
    document = [piece for piece in segments(made.text, made.contributions, "document") if piece.score is not None]
    assert [(piece.text, piece.names) for piece in document] == [("dog", ("bm25: dog",)), ("water", ("bm25: water",))]
    assert [piece.score for piece in document] == pytest.approx([0.03, 0.01])
    twice = Contribution("dog", 6.0, places=(("document", 0, 3), ("document", 8, 11)))
    pieces = segments("dog and dog", [twice], "document")
    assert [piece.score for piece in pieces] == [3.0, None, 3.0]
    again = Explanation.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    with pytest.raises(UsageError, match="no place of a text"):
        Contribution("dog", 1.0, places=(("", 0, 3),))
    with pytest.raises(UsageError, match="side and two numbers"):
        Contribution.from_json({"label": "x", "score": 1.0, "kind": "term", "places": [["query", 3]]})


def test_the_page_can_be_read_without_a_mouse_and_names_its_pipeline(tmp_path: Path) -> None:
    made = fused()
    made.save(tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "rrf(bm25, dense) % 3" in page.partition("</title>")[0]
    assert "in <code>rrf(bm25, dense) % 3</code>" in page
    marks = [tag.partition(">")[0] for tag in page.split("<mark")[1:]]
    assert len(marks) == 4
    assert all("tabindex='0'" in mark for mark in marks)
    assert any("aria-label='bm25: dog: +0.03'" in mark for mark in marks)
    assert "`cut(k=3)` drops it, rank 1 of 9 before" in page
    assert "@media print" in page
    assert "prefers-color-scheme:dark" in page


def test_children_are_in_the_page_and_the_picture_of_a_contrast(tmp_path: Path) -> None:
    first, second = fused(), Explanation("rrf(bm25, dense)", "e", "dog water", "d2", 0.0, (), text="nothing of it")
    contrast = Contrast(first, second)
    html = contrast.to_html()
    assert "+6.0000" in html
    assert html.count("class='pair'") == 2 + 3
    assert "nothing of it" in html
    assert "first:2-5" in html
    assert [row.part.label for row in contrast.rows[0].inner] == ["dog", "water"]
    flat = Explanation(first.target, "e", first.query, "d", 0.05, (Contribution("bm25", 0.05, "stage"),))
    heights = []
    for name, one in (("a", first), ("b", flat), ("c", contrast), ("d", Contrast(flat, second))):
        one.save(tmp_path / f"{name}.png")
        heights.append(int.from_bytes((tmp_path / f"{name}.png").read_bytes()[20:24], "big"))
    assert heights[0] > heights[1]
    assert heights[2] > heights[3]


class Hides(Letters):
    """Says that it is exact, and leaves a remainder."""

    exact = True

    def explain(self, target: Any, query: str, rows: Any, corpus: Corpus) -> list[Explanation]:
        made = super().explain(target, query, rows, corpus)
        return [Explanation(e.target, "letters", query, e.document_id, e.score, e.contributions[:1],
                            e.score - e.contributions[0].score) for e in made]  # fmt: skip


@pytest.mark.parametrize(("explainer", "keeps"), [(Letters, True), (Hides, False)])
def test_an_exact_explainer_may_leave_nothing(explainer: Any, keeps: bool, tmp_path: Path) -> None:
    class AtHand(Case):
        def make(self, context: Context) -> Any:
            return explainer(None, context)

        def context(self, store: str = "store", **given: Any) -> Context:
            made = super().context(store, **given)
            made._objects[made.bind("rerank", "letters-shared").digest] = Overlap(None, made)
            return made

    case = AtHand("explain/letters", tmp_path, target="letters-shared", plugins=[Plugin()])
    Letters.exact = True  # type: ignore[attr-defined]
    try:
        if keeps:
            adds_up(case)
        else:
            with pytest.raises(AssertionError, match="parts of an exact explainer"):
                adds_up(case)
    finally:
        del Letters.exact  # type: ignore[attr-defined]


def test_many_parts_are_summed_up() -> None:
    parts = tuple(Contribution(f"w{n}", 1.0 + n) for n in range(60))
    made = Explanation("t", "e", "q", "d", sum(part.score for part in parts), parts)
    assert "(40 more)" in made.to_text()
    assert f"{sum(1.0 + n for n in range(40)):+.4f}" in made.to_text()
    assert "30 more" in made.to_html()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"score": "1"}, "'score' of an explanation"),
        ({"score": 9.0}, "adds up to"),
        ({"contributions": [{"label": "x", "kind": "term"}]}, "no 'score'"),
        ({"contributions": [3]}, "which is no dict"),
        ({"contributions": [{"label": "x", "kind": "t", "score": 1.75, "side": "up"}]}, "stands in 'up'"),
        ({"contributions": [{"label": "x", "kind": "t", "score": 1.75, "span": [3, 1], "side": "query"}]}, "span"),
        ({"contributions": [{"label": "x", "kind": "t", "score": 1.75, "span": [3], "side": "query"}]}, "two numbers"),
    ],
)
def test_malformed_json_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Explanation.from_json({**explanation().to_json(), **change})


def test_a_contrast_is_of_like_with_like() -> None:
    with pytest.raises(UsageError, match="no contrast"):
        Contrast(explanation(), explanation("cat"))
    contrast = Contrast(explanation(), explanation(score=3.0, name="d2"))
    assert [(row.part.label, row.part.score) for row in contrast.rows] == [("dog", -1.0), ("water", 0.0)]
    assert contrast.difference.document_id == "d1 − d2"


def test_the_command_contrasts_and_writes(run_cli: Any, tmp_path: Path) -> None:
    data = str(collection().write(tmp_path / "data"))
    (made,) = run_cli("explain", "bm25", data, QUERY, "--against", "cat-0", "--json").json
    assert made["difference"]["score"] == pytest.approx(made["first"]["score"] - made["second"]["score"])
    page = tmp_path / "why.html"
    assert run_cli("explain", "rrf(bm25, bm25(b=0))", data, QUERY, "-o", str(page)).exit_code == 0
    assert "dog-" in page.read_text(encoding="utf-8")
    wrong = run_cli("explain", "bm25", data, QUERY, "--document", "dog-0", "--document", "cat-0", "--against", "dog-1")
    assert wrong.exit_code == 2
    assert "one --document" in wrong.stderr
