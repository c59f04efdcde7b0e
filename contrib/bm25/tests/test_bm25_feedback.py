"""RM3 and Bo1 beside the formulas, written out with dictionaries."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from spaniel import Context, Corpus, Document, Queries, Run, UsageError

WORDS = [f"w{number}" for number in range(30)] + ["x", "été"]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(0, 25), p=shares / shares.sum())) for _ in range(150)]
    return Corpus.from_documents(Document(f"d{number:03d}", "", text) for number, text in enumerate(texts))


QUERIES = Queries.from_lists(["a", "b", "c", "d"], ["w20 w21", "w9 w9 w25 unknown", "", "nothing-known"])


def tables(corpus: Corpus) -> tuple[list[Counter[str]], Counter[str], Counter[str]]:
    bags = [Counter(text.split()) for text in corpus.contents(range(len(corpus)))]
    df, cf = Counter[str](), Counter[str]()
    for bag in bags:
        df.update(bag.keys())
        cf.update(bag)
    return bags, df, cf


def top(weights: dict[str, float], most: int) -> dict[str, float]:
    return dict(sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:most])


def to_one(weights: dict[str, float]) -> dict[str, float]:
    return {term: weight / sum(weights.values()) for term, weight in weights.items()}


def rm3(query: str, ranked: list[tuple[int, float]], corpus: Corpus, share: float, terms: int) -> dict[str, float]:
    bags, df, _ = tables(corpus)
    model: Counter[str] = Counter()
    for row, score in ranked:
        usable = {
            term: float(count)
            for term, count in bags[row].items()
            if df[term] <= 0.1 * len(corpus) and 2 <= len(term) <= 20 and term.isalnum()
        }
        for term, weight in to_one(top(usable, terms)).items():
            model[term] += weight * score
    own = to_one({term: float(count) for term, count in Counter(words(query)).items()})
    if not model:
        return own
    model_to_one = to_one(top(dict(model), terms))
    return {term: share * own.get(term, 0) + (1 - share) * model_to_one.get(term, 0) for term in {*own, *model_to_one}}


def bo1(query: str, ranked: list[tuple[int, float]], corpus: Corpus, terms: int) -> dict[str, float]:
    bags, _, cf = tables(corpus)
    counts, held = Counter[str](), Counter[str]()
    for row, _ in ranked:
        counts.update(bags[row])
        held.update(bags[row].keys())

    def weight(count: float, frequency: float) -> float:
        mean = frequency / len(corpus)
        return count * math.log2((1 + mean) / mean) + math.log2(1 + mean)

    asked = Counter(words(query))
    weights = {term: weight(count, cf[term]) for term, count in counts.items() if held[term] >= 2 or term in asked}
    best = top(weights, terms)
    made = {term: count / max(asked.values()) for term, count in asked.items()}
    for term, value in best.items():
        first = next(iter(best))
        made[term] = made.get(term, 0) + value / weight(counts[first], counts[first])
    return made


def words(text: str) -> list[str]:
    return text.replace("-", " ").split()


def expanded(context: Context, expression: str, corpus: Corpus, run: Run) -> list[dict[str, float]]:
    component: Any = context.create("retrieve", expression)
    made = component.expanded(QUERIES, corpus, run)
    bounds = zip(made.offsets[:-1], made.offsets[1:], strict=True)
    return [dict(zip(made.tokens[a:b], made.weights[a:b].tolist(), strict=True)) for a, b in bounds]


def ranked(run: Run, query: int, documents: int) -> list[tuple[int, float]]:
    return list(zip(*(array.tolist() for array in run.cut(documents).of(query)), strict=True))


@pytest.mark.parametrize(("documents", "terms", "share"), [(10, 10, 0.5), (3, 4, 0.8), (40, 50, 0.0)])
def test_rm3_is_its_formula(context: Context, corpus: Corpus, documents: int, terms: int, share: float) -> None:
    run = context.run("bm25(analyzer=words)", QUERIES, corpus)
    options = f"index=bm25(analyzer=words), fb_docs={documents}, fb_terms={terms}, original_weight={share}"
    for query, found in enumerate(expanded(context, f"rm3({options})", corpus, run)):
        expected = rm3(QUERIES.texts[query], ranked(run, query, documents), corpus, share, terms)
        assert found == pytest.approx({term: weight for term, weight in expected.items() if weight > 0})


@pytest.mark.parametrize(("documents", "terms"), [(3, 10), (10, 4), (2, 100)])
def test_bo1_is_its_formula(context: Context, corpus: Corpus, documents: int, terms: int) -> None:
    run = context.run("bm25(analyzer=words)", QUERIES, corpus)
    options = f"index=bm25(analyzer=words), fb_docs={documents}, fb_terms={terms}"
    for query, found in enumerate(expanded(context, f"bo1({options})", corpus, run)):
        assert found == pytest.approx(bo1(QUERIES.texts[query], ranked(run, query, documents), corpus, terms))


@pytest.mark.parametrize("feedback", ["rm3(index=bm25(analyzer=words))", "bo1(index=bm25(analyzer=words))"])
def test_what_is_searched_is_the_sum_of_weighted_scores(context: Context, corpus: Corpus, feedback: str) -> None:
    first = context.run("bm25(analyzer=words)", QUERIES, corpus)
    weights = expanded(context, feedback, corpus, first)
    run = context.run(f"bm25(analyzer=words) >> {feedback}", QUERIES, corpus)
    for query, terms in enumerate(weights):
        total = np.zeros(len(corpus))
        for term, weight in terms.items():
            one = context.run("bm25(analyzer=words)", Queries.from_lists(["q"], [term]), corpus)
            total[one.rows] += weight * one.scores
        rows, scores = run.of(query)
        assert np.allclose(scores, total[rows], atol=1e-5)
        assert set(rows.tolist()) == set(np.flatnonzero(total).tolist())


def test_tantivy_takes_rm3_and_tells_why_not_bo1(context: Context, corpus: Corpus) -> None:
    pytest.importorskip("tantivy", reason="the extra `tantivy` is not installed")
    run = context.run("tantivy(analyzer=words) >> rm3(index=tantivy(analyzer=words))", QUERIES, corpus)
    assert run.lengths[0] > 0
    with pytest.raises(UsageError, match="index=bm25, or rm3"):
        context.run("tantivy(analyzer=words) >> bo1(index=tantivy(analyzer=words))", QUERIES, corpus)


def test_scores_below_zero_are_refused(context: Context, corpus: Corpus) -> None:
    run = Run.from_lists([[(1, 1.0), (2, -1.0)], [], [], []])
    with pytest.raises(UsageError, match="document_weights=uniform"):
        expanded(context, "rm3(index=bm25(analyzer=words))", corpus, run)
    assert expanded(context, "rm3(index=bm25(analyzer=words), document_weights=uniform)", corpus, run)


def test_queries_of_every_script_are_expanded(context: Context) -> None:
    texts = ["खोज इंजन", "ёлка зимой", "größe messen", "ab o_il x " + "y" * 21]
    asked = ["खोज", "ёлка", "größe", "ab"]
    corpus = Corpus.from_documents(
        Document(f"d{at:02}", "", texts[at] if at < len(texts) else "nothing") for at in range(41)
    )
    queries = Queries.from_lists([f"q{at}" for at in range(4)], asked)
    run = context.run("bm25(analyzer=words)", queries, corpus)
    made = context.create("retrieve", "rm3(index=bm25(analyzer=words))").expanded(queries, corpus, run)  # type: ignore[attr-defined]
    terms = [set(made.tokens[a:b]) for a, b in zip(made.offsets[:-1], made.offsets[1:], strict=True)]
    assert terms == [{"खोज", "इंजन"}, {"ёлка", "зимой"}, {"grösse", "messen"}, {"ab"}]
