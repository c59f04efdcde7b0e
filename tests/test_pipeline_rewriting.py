"""Kinds that plugins add are stages: what they declare is what is called, whether they give runs or queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import (
    Component,
    Context,
    Contribution,
    Corpus,
    Document,
    Explanation,
    Kind,
    PluginError,
    Queries,
    Run,
    UsageError,
    hookimpl,
    hookspec,
)
from spaniel.data import Variants, fuse_rrf
from spaniel.explain import explain_pipeline
from spaniel.pipeline.run import run_pipeline
from spaniel.plugins import Registry

HERE = __name__
SEEN: list[tuple[str, Any]] = []


@hookspec
def change() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer stages that give queries."""


@hookspec
def reorder() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer stages that give runs."""


class Words:
    """Ranks documents by words that they share with the query."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def needs(self, corpus: Any) -> Sequence[Any]:
        return ()

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        SEEN.append(("words", queries.texts))
        self.context.count("model calls", len(queries))
        texts = corpus.contents(range(len(corpus)))
        found = [
            [(row, float(n)) for row, t in enumerate(texts) if (n := len(set(q.split()) & set(t.split())))]
            for q in queries.texts
        ]
        return Run.from_lists(found)


class Better(Words):
    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        SEEN.append(("better", queries.texts))
        return Run.build(run.offsets, run.rows, run.scores * 2)


class Backwards(Words):
    def turn(self, queries: Queries, corpus: Corpus, run: Run) -> Run:
        return Run.build(run.offsets, run.rows, -run.scores)


class Lower(Words):
    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Queries:
        SEEN.append(("lower", run))
        return replace(queries, texts=tuple(text.lower() for text in queries.texts))


class Parts(Words):
    """Asks each word by itself, the first one twice as much."""

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Variants:
        texts = [text.split() or [""] for text in queries.texts]
        return Variants.from_lists(texts, [[2.0] + [1.0] * (len(words) - 1) for words in texts], k=10)


class Fed(Words):
    """Asks what the first document says."""

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Queries:
        assert run is not None
        return replace(queries, texts=tuple(corpus.contents(run.of(at)[0][:1])[0] for at in range(len(queries))))


class Wrong(Words):
    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Any:
        return replace(queries, ids=tuple(f"{name}'" for name in queries.ids))


class Telling:
    """One part: the score."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> list[Explanation]:
        texts = corpus.contents(rows)
        made = []
        for name, text in zip(corpus.ids(rows), texts, strict=True):
            shared = float(len(set(query.split()) & set(text.split())))
            part = Contribution(query, shared, "term", side="query", span=(0, len(query)))
            made.append(Explanation("", "telling", query, name, shared, (part,)))
        return made


class Plugin:
    @hookimpl
    def kinds(self) -> Iterator[Kind]:
        roles = {"": "spaniel.protocols:Retriever"}
        yield Kind("change", "queries → queries", roles, HERE, follows="never", call="rewrite", gives="queries")
        yield Kind("reorder", "a run → a run", roles, HERE, follows="must", call="turn")

    @hookimpl
    def change(self) -> Iterator[Component]:
        for name in ("lower", "parts", "wrong"):
            yield Component(name, factory=f"{HERE}:{name.title()}", summary="changes queries")
        yield Component("fed", factory=f"{HERE}:Fed", summary="reads a run", follows="must")

    @hookimpl
    def reorder(self) -> Iterator[Component]:
        yield Component("backwards", factory=f"{HERE}:Backwards", summary="turns lists")

    @hookimpl
    def retrieve(self) -> Iterator[Component]:
        yield Component("words", factory=f"{HERE}:Words", summary="shared words")

    @hookimpl
    def rerank(self) -> Iterator[Component]:
        yield Component("better", factory=f"{HERE}:Better", summary="doubles scores")

    @hookimpl
    def explain(self) -> Iterator[Component]:
        yield Component("telling", factory=f"{HERE}:Telling", summary="tells", takes=("retrieve/words",))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    from spaniel import builtin

    SEEN.clear()
    registry = Registry()
    registry.register(builtin, "spaniel", "spaniel")
    registry.register(Plugin(), "test-plugin")
    return Context(tmp_path / "store", registry=registry)


CORPUS = Corpus.from_documents(
    [Document("a", text="red apple"), Document("b", text="red red plum pear"), Document("c", text="green pear")]
)
QUERIES = Queries.from_lists(["1", "2", "3"], ["RED pear", "GREEN", "green pear apple"])


def test_a_kind_of_a_plugin_follows_and_runs(context: Context) -> None:
    plain = context.run("words", QUERIES, CORPUS)
    turned = context.run("words >> backwards", QUERIES, CORPUS)
    assert turned == Run.build(plain.offsets, plain.rows, -plain.scores)
    with pytest.raises(UsageError, match="needs a run to work on"):
        context.pipeline("backwards")


def test_queries_that_are_corrected_are_seen_by_all_stages_behind(context: Context) -> None:
    lower = Queries.from_lists(QUERIES.ids, [text.lower() for text in QUERIES.texts])
    expected = context.run("words >> better", lower, CORPUS)
    SEEN.clear()
    assert context.run("lower >> words >> better", QUERIES, CORPUS) == expected
    assert [what for what, _ in SEEN] == ["lower", "words", "better"]
    assert SEEN[1][1] == SEEN[2][1] == lower.texts


def test_variants_are_for_the_next_stage_alone_and_their_runs_are_fused(context: Context) -> None:
    made = context.run("parts >> words >> better", QUERIES, CORPUS)
    assert [texts for what, texts in SEEN if what == "words"] == [
        ("RED", "GREEN", "green"),
        ("pear", "pear"),
        ("apple",),
    ]
    assert SEEN[-1] == ("better", QUERIES.texts)
    words = [context.run("words", Queries.from_lists(["x"], [word]), CORPUS) for word in ("green", "pear", "apple")]
    alone = fuse_rrf(words, 10, [2.0, 1.0, 1.0])
    assert np.array_equal(made.of(2)[0], alone.rows)
    assert np.array_equal(made.of(2)[1], alone.scores * 2)
    # A query with one variant keeps its scores, whatever the others have.
    assert made.of(1)[1].tolist() == []
    single = context.run("parts >> words", QUERIES.select([1]), CORPUS)
    assert single.of(0)[1].tolist() == context.run("words", QUERIES.select([1]), CORPUS).of(0)[1].tolist()
    for at in range(3):
        one = context.run("parts >> words >> better", QUERIES.select([at]), CORPUS)
        assert all(np.array_equal(x, y) for x, y in zip(one.of(0), made.of(at), strict=True))


def test_rewriters_work_on_variants_too(context: Context) -> None:
    chained = context.run("parts >> lower >> words", QUERIES, CORPUS)
    lower = Queries.from_lists(QUERIES.ids, [text.lower() for text in QUERIES.texts])
    assert (
        chained
        == context.run("parts >> words", lower, CORPUS)
        == context.run("lower >> parts >> words", QUERIES, CORPUS)
    )


def test_a_rewriter_that_reads_a_run_stands_between_two_retrievers(context: Context) -> None:
    made = context.run("words >> fed >> words", Queries.from_lists(["1"], ["green"]), CORPUS)
    assert made.rows.tolist() == context.run("words", Queries.from_lists(["1"], ["green pear"]), CORPUS).rows.tolist()
    with pytest.raises(UsageError, match="`fed` needs a run"):
        context.pipeline("lower >> fed >> words")
    with pytest.raises(UsageError, match=r"as in `rrf\(words, lower >> words\)`"):
        context.pipeline("words >> lower >> words")


def test_a_rewriter_before_a_reranker_keeps_the_run(context: Context) -> None:
    context.run("words >> lower >> better", QUERIES, CORPUS)
    assert SEEN[-1] == ("better", tuple(text.lower() for text in QUERIES.texts))
    assert SEEN[-2] == ("lower", None)


def test_rewriters_in_branches_of_a_fusion(context: Context) -> None:
    fused = context.run("rrf(lower >> words, words)", QUERIES, CORPUS)
    parts = [context.run(system, QUERIES, CORPUS) for system in ("lower >> words", "words")]
    assert fused == fuse_rrf(parts)


@pytest.mark.parametrize("text", ["lower", "words >> lower", "rrf(words, lower)", "lower >> fed"])
def test_a_pipeline_ends_with_a_run(context: Context, text: str) -> None:
    with pytest.raises(UsageError, match=r"gives queries, not a run: put a retriever behind it|needs a run"):
        context.pipeline(text)


def test_queries_keep_their_ids(context: Context) -> None:
    with pytest.raises(PluginError, match="under other ids"):
        context.run("wrong >> words", QUERIES, CORPUS)


def test_costs_are_those_of_each_text(context: Context) -> None:
    outcome = run_pipeline(context, context.pipeline("parts >> words"), QUERIES, CORPUS)
    assert [stage.name for stage in outcome.stages] == ["parts", "words"]
    assert outcome.stages[1].counts == {"model calls": 6}


def test_explanations_go_through(context: Context) -> None:
    run = context.run("lower >> words", Queries.from_lists(["1"], ["RED pear"]), CORPUS)
    for row, score in zip(run.rows.tolist(), run.scores.tolist(), strict=True):
        (made,) = explain_pipeline(context, "lower >> words", "RED pear", [row], CORPUS)
        assert made.score == score
        assert made.query == "red pear"
        assert made.stages[0].note == "“RED pear” → “red pear”"
        assert "“RED pear” → “red pear”" in made.to_text()
        assert Explanation.from_json(made.to_json()) == made
    fused = context.run("lower >> parts >> words", Queries.from_lists(["1"], ["RED pear"]), CORPUS)
    for row, score in zip(fused.rows.tolist(), fused.scores.tolist(), strict=True):
        (made,) = explain_pipeline(context, "lower >> parts >> words", "RED pear", [row], CORPUS)
        assert made.total() == pytest.approx(score, abs=1e-6)
        assert {part.label for part in made.contributions} == {"“red”", "“pear”"}
        # Places in a variant are none in the query that is shown.
        assert not any(child.spots("query") for part in made.contributions for child in part.children)
    with pytest.raises(UsageError, match="gives no scores"):
        explain_pipeline(context, "lower >> words", "RED pear", [0], CORPUS, stage=1)


def test_what_a_rewriter_drops_is_not_its_fault(context: Context) -> None:
    (made,) = explain_pipeline(context, "lower >> words", "PLUM", list(CORPUS.rows(["a"])), CORPUS)
    assert "`words` does not retrieve it" in made.absence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"follows": "never"}, "both what it follows and what is called"),
        ({"call": "rewrite"}, "both what it follows and what is called"),
        ({"follows": "never", "call": "_private"}, "no name of a public method"),
        ({"follows": "never", "call": "rewrite", "gives": "text"}, "allowed: 'run', 'queries'"),
    ],
)
def test_a_stage_says_what_is_called(options: dict[str, Any], said: str) -> None:
    class Bad:
        @hookimpl
        def kinds(self) -> Iterator[Kind]:
            yield Kind("change", "", {"": "a.b:C"}, HERE, **options)

    with pytest.raises(PluginError, match=said):
        Registry().register(Bad(), "bad")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Variants(((),)),
        lambda: Variants((("a\ud800",),)),
        lambda: Variants((("a",),), ((1.0, 2.0),)),
        lambda: Variants((("a",),), ((-1.0,),)),
        lambda: Variants((("a",),), k=-1),
        lambda: Variants((("a",) * 1001,)),
    ],
)
def test_malformed_variants_are_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        make()
