"""Scores of the documents that are explained, whatever the lists are: cuts, feedback, stages that order lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Component, Context, Corpus, Document, Queries, Run, Stage
from spaniel.config import Config
from spaniel.explain import explain_pipeline, explainers_of
from spaniel.explanation import Explanation
from spaniel.hookspecs import hookimpl
from spaniel.plugins import load_registry
from spaniel.testing import collection
from spaniel_bm25.retriever import Bm25Retriever
from spaniel_bm25.searching import Index
from spaniel_explain.scoring import Listed, Relisted, Rows, scorer_of
from spaniel_explain.texts import words

QUERY = "which spaniel retrieves game from water"


class ShortConfig(Config):
    """Options of :class:`Short`."""

    k: int = 2


class Short:
    """Ranks documents by the words that they share with a query; it scores no documents by themselves."""

    def __init__(self, config: ShortConfig, context: Context) -> None:
        self.config = config

    def needs(self, corpus: Any) -> Sequence[Any]:
        return ()

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        texts = [set(text.split()) for text in corpus.contents(range(len(corpus)))]
        lists = []
        for query in queries.texts:
            scores = [(row, float(len(text & set(query.split())))) for row, text in enumerate(texts)]
            lists.append(sorted([pair for pair in scores if pair[1]], key=lambda pair: -pair[1]))
        return Run.from_lists(lists).cut(self.config.k)


class Order:
    """Orders lists: places from the end, by the letters of the words that a document shares with the query."""

    def __init__(self, config: Any, context: Context) -> None:
        self.lists: list[list[str]] = []

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        made = []
        for query in range(len(run)):
            rows = run.of(query)[0].tolist()
            asked = set(queries.texts[query].split())
            shared = [sum(map(len, asked & set(text.split()))) for text in corpus.contents(rows)]
            self.lists.append(sorted(corpus.ids(rows)))
            order = sorted(range(len(rows)), key=lambda at: (shared[at], at))
            made.append([(rows[at], float(place)) for place, at in enumerate(order, 1)][::-1])
        return Run.from_lists(made)


class Plugin:
    @staticmethod
    @hookimpl
    def rerank() -> Any:
        yield Component("order", f"{__name__}:Order", "")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Context:
    registry = load_registry(warn=False)
    registry.register(Plugin(), "at-hand")
    made = Context(tmp_path_factory.mktemp("store"), device="cpu", offline=True, registry=registry)
    made._objects[made.bind("rerank", "order").digest] = Order(None, made)
    return made


@pytest.fixture(scope="module")
def documents() -> Corpus:
    return collection().corpus()


def every(context: Context, expression: str, corpus: Corpus, explainer: str | None = None) -> list[Explanation]:
    run = context.run(expression, Queries.from_lists(["query"], [QUERY]), corpus)
    return explain_pipeline(context, expression, QUERY, run.rows.tolist(), corpus, explainer)


@pytest.mark.parametrize("explainer", ["occlusion", "shapley"])
@pytest.mark.parametrize(("whole", "cut"), [("bm25", "bm25(k=3)"), ("tantivy", "tantivy(k=5)")])
def test_a_cut_list_changes_no_explanation(
    session: Context, documents: Corpus, whole: str, cut: str, explainer: str
) -> None:
    if whole == "tantivy":
        pytest.importorskip("tantivy")
    short, long = every(session, cut, documents, explainer), every(session, whole, documents, explainer)
    assert 0 < len(short) < len(long)
    exact = every(session, whole, documents)
    for one, other, terms in zip(short, long, exact, strict=False):
        assert [p.label for p in one.contributions] == [p.label for p in other.contributions]
        assert [p.score for p in one.contributions] == pytest.approx([p.score for p in other.contributions])
        # Scores of terms add up, so that what a word carries is what it adds.
        assert one.remainder == pytest.approx(0, abs=1e-5)
        mine, theirs = ({p.span: p.score for p in made.contributions if p.score} for made in (one, terms))
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_nothing_is_searched_to_explain_a_document(
    session: Context, documents: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = Queries.from_lists(["query"], [QUERY])
    for expression in ("bm25", "bm25 >> rm3", "bm25 >> bo1", "rrf(bm25, bm25(b=0))"):
        session.run(expression, queries, documents)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the collection is searched again")

    monkeypatch.setattr(Bm25Retriever, "retrieve", refuse)
    monkeypatch.setattr(Index, "search", refuse)
    monkeypatch.setattr(Index, "search_weighted", refuse)
    for expression, explainers in (
        ("bm25", (None, "occlusion", "shapley")),
        ("bm25 >> rm3", (None, "occlusion", "shapley")),
        ("bm25 >> bo1", (None, "occlusion", "shapley")),
        ("rrf(bm25, bm25(b=0))", (None,)),
    ):
        for explainer in explainers:
            assert every(session, expression, documents, explainer)[0].score > 0


@pytest.mark.parametrize(
    "stage", ["rm3(max_share=1)", "rm3(max_share=1, original_weight=0)", "rm3(fb_docs=2, fb_terms=3)", "bo1(k=2)"]
)
@pytest.mark.parametrize("explainer", [None, "occlusion", "shapley"])
def test_feedback_is_explained(session: Context, documents: Corpus, stage: str, explainer: str | None) -> None:
    made = every(session, f"bm25 >> {stage}", documents, explainer)
    first = session.run("bm25", Queries.from_lists(["query"], [QUERY]), documents)
    best = set(documents.ids(first.rows[:10]))
    for explanation in made:
        assert explanation.total() == pytest.approx(explanation.stages[-1].score, abs=1e-5)
        assert explanation.pipeline == f"bm25 >> {stage}"
        if explainer != "occlusion":
            assert explanation.remainder == pytest.approx(0, abs=1e-5)
        for part in explanation.contributions if explainer is None else ():
            if part.children:
                assert sum(child.score for child in part.children) == pytest.approx(part.score, abs=1e-9)
            assert {child.label for child in part.children} <= best | {"(the query)"}
    if explainer is None and "fb_docs" not in stage:
        assert any(child.kind == "document" for part in made[0].contributions for child in part.children)
        assert "dog-" in made[0].parameters["feedback"]
        assert {explanation.text[a:b].lower() for explanation in made for p in explanation.contributions
                for a, b in p.spots("document")} >= {"spaniel"}  # fmt: skip


def test_dense_feedback_is_explained(context: Context, stages: dict[str, Stage], corpus: Corpus) -> None:
    pipeline = stages["dense"] >> Stage("rm3", document_weights="uniform")
    for explainer in (None, "shapley"):
        (made,) = explain_pipeline(context, pipeline, "dog in water", [1], corpus, explainer)
        assert made.stages[-1].rank > 0
        assert made.total() == pytest.approx(made.stages[-1].score, abs=1e-5)
        assert made.remainder == pytest.approx(0, abs=1e-5)


def test_a_retriever_that_only_lists_is_asked_for_everything(session: Context, documents: Corpus) -> None:
    target = Short(ShortConfig(k=1), session)
    scorer = scorer_of(session, target)
    assert type(scorer) is Listed
    rows = list(range(len(documents)))
    scores = scorer.vary_query(["spaniel game", "water", "nothing"], rows, documents)
    texts = [set(text.split()) for text in documents.contents(rows)]
    expected = [[len(text & set(query.split())) for text in texts] for query in ("spaniel game", "water", "nothing")]
    assert scores.tolist() == expected
    assert type(scorer_of(session, session.create("retrieve", "bm25"))) is Rows
    fusion = session.create("retrieve", "rrf(bm25, bm25(b=0))")
    assert scorer_of(session, fusion).vary_query([QUERY], [0], documents).shape == (1, 1)  # type: ignore[union-attr]


def test_a_stage_that_orders_lists_is_explained_in_its_list(session: Context, documents: Corpus) -> None:
    bound = session.bind("rerank", "order")
    assert explainers_of(session, bound)[0] == "spaniel-explain/occlusion"
    target = session.make(bound)
    run = session.run("bm25 % 4", Queries.from_lists(["query"], [QUERY]), documents)
    rows = run.rows.tolist()
    ids = sorted(documents.ids(rows))
    for side in ("query", "document"):
        explainer = session.create("explain", f"occlusion(side={side})")
        target.lists = []
        made = explainer.explain_behind(target, QUERY, rows, documents, run)
        real = target.rerank(Queries.from_lists(["query"], [QUERY]), run, documents)
        assert [e.score for e in made] == [float(real.scores[np.flatnonzero(real.rows == row)[0]]) for row in rows]
        assert all(e.contributions for e in made)
        assert {len(names) for names in target.lists} == {len(ids)}
    other = next(row for row in range(len(documents)) if row not in rows)
    lacking, held = explain_pipeline(session, "bm25 % 4 >> order", QUERY, [other, rows[0]], documents)
    assert (lacking.score, lacking.contributions) == (0.0, ())
    assert "not in the list" in lacking.absence
    assert "has no score" in lacking.absence or "drops it" in lacking.absence
    assert held.contributions
    assert isinstance(scorer_of(session, target, run), Relisted)


def test_a_document_that_the_list_lacks_is_explained_saying_so(
    session: Context, documents: Corpus, run_cli: Any, tmp_path: Path
) -> None:
    run = session.run("bm25", Queries.from_lists(["query"], [QUERY]), documents)
    last = int(run.rows[-1])
    (whole,) = explain_pipeline(session, "bm25", QUERY, [last], documents)
    (cut,) = explain_pipeline(session, "bm25(k=1)", QUERY, [last], documents)
    assert cut.score == whole.score > 0
    assert "`bm25(k=1)` does not retrieve it (1 documents); it would have this score" in cut.absence
    (dropped,) = explain_pipeline(session, "bm25 % 1", QUERY, [last], documents)
    assert "`cut(k=1)` drops it" in dropped.absence
    assert dropped.score == whole.score
    for made in (cut, dropped):
        assert made.absence in made.to_text()
        assert "not in the list" in made.to_html()
    (moves,) = explain_pipeline(session, "bm25 % 1", QUERY, [last], documents, "stage-moves")
    assert "drops it" in moves.absence
    data = str(collection().write(tmp_path / "data"))
    name = documents.ids([last])[0]
    assert "not in the list" in run_cli("explain", "bm25(k=1)", data, QUERY, "--document", name).stdout


def test_words_of_chinese_are_not_characters() -> None:
    pytest.importorskip("jieba")
    text = "北京大学的图书馆 and カメラ、ひらがな"
    found = [text[unit.start : unit.end] for unit in words(text)]
    assert found == ["北京大学", "的", "图书馆", "and", "カメラ", "、", "ひらがな"]


def test_a_document_of_chinese_is_explained_by_its_words(session: Context) -> None:
    pytest.importorskip("jieba")
    corpus = Corpus.from_documents([Document("a", "", "图书馆里有很多书"), Document("b", "", "今天天气很好")])
    row = int(corpus.rows(["a"])[0])
    expression = "bm25(analyzer=chinese(search=false))"
    (made,) = explain_pipeline(session, expression, "北京的图书馆", [row], corpus)
    held = [part for part in made.contributions if part.score]
    assert [part.label for part in held] == ["图书馆"]
    assert held[0].spots("document") == ((0, 3),)
    (left_out,) = explain_pipeline(session, expression, "北京的图书馆", [row], corpus, "occlusion")
    assert [part.label for part in left_out.contributions] == ["北京", "的", "图书馆"]
