"""BM25 against the formulas, against bm25s, and against published figures."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, Corpus, Document, Queries, Run
from spaniel.collections import find_dataset
from spaniel.explain import explain_pipeline
from spaniel.system import open_task, run_system

METHODS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
WORDS = ["aa", "bb", "cc", "dd", "ee", "ff"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


def search(context: Context, texts: list[str], queries: list[str], expression: str) -> tuple[Run, Corpus]:
    corpus = Corpus.from_documents(Document(f"d{i:03d}", "", text) for i, text in enumerate(texts))
    asked = Queries.from_lists([f"q{i}" for i in range(len(queries))], queries)
    return context.run(expression, asked, corpus), corpus


def formula(
    method: str, tf: int, df: int, n: int, length: int, mean: float, k1: float, b: float, delta: float
) -> float:
    """Table 1 of Kamphuis et al., ECIR 2020, term by term."""
    norm = 1 - b + b * length / mean
    if method == "lucene":
        return math.log(1 + (n - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * norm)
    if method == "robertson":
        return math.log(max(1.0, (n - df + 0.5) / (df + 0.5))) * tf / (tf + k1 * norm)
    if method == "atire":
        return math.log(n / df) * tf * (k1 + 1) / (tf + k1 * norm)
    if method == "bm25l":
        c = tf / norm + delta
        return math.log((n + 1) / (df + 0.5)) * (k1 + 1) * c / (k1 + c)
    return math.log((n + 1) / df) * (tf * (k1 + 1) / (tf + k1 * norm) + delta)


def brute_force(texts: list[str], query: str, method: str, k1: float, b: float, delta: float) -> dict[int, float]:
    bags = [Counter(text.split()) for text in texts]
    lengths = [sum(bag.values()) for bag in bags]
    mean = sum(lengths) / len(lengths) if sum(lengths) else 1.0
    scores: dict[int, float] = {}
    for i, bag in enumerate(bags):
        terms = query.split()
        if any(bag[t] for t in terms):
            total = 0.0
            for term in terms:
                df = sum(1 for other in bags if other[term])
                if df:
                    total += formula(method, bag[term], df, len(texts), lengths[i], mean, k1, b, delta)
            scores[i] = total
    return scores


@given(
    st.lists(TEXT, min_size=1, max_size=12),
    st.lists(TEXT, min_size=1, max_size=4),
    st.sampled_from(METHODS),
    st.sampled_from([(1.2, 0.75, 0.5), (0.9, 0.4, 1.0), (0.1, 0.0, 0.0), (2.0, 1.0, 0.7)]),
    st.integers(1, 6),
)
@settings(max_examples=120, deadline=None)
def test_scores_order_and_cut_are_those_of_the_formulas(
    context: Context, texts: list[str], queries: list[str], method: str, options: tuple[float, float, float], k: int
) -> None:
    k1, b, delta = options
    expression = f'bm25(method="{method}", k1={k1}, b={b}, delta={delta}, k={k}, analyzer=words)'
    run, corpus = search(context, texts, queries, expression)
    everything, _ = search(context, texts, queries, expression.replace(f"k={k},", "k=1000,"))
    for position, query in enumerate(queries):
        expected = brute_force(texts, query, method, k1, b, delta)
        rows, scores = everything.of(position)
        found = {int(corpus.ids([row])[0][1:]): float(score) for row, score in zip(rows, scores, strict=True)}
        assert found.keys() == expected.keys()
        for document, score in expected.items():
            assert found[document] == pytest.approx(score, abs=1e-5)
        assert np.array_equal(run.of(position)[0], rows[:k]), "the cut keeps what the tie rule puts first"


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_bm25s(context: Context, method: str) -> None:
    bm25s = pytest.importorskip("bm25s", reason="bm25s is the oracle")
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice([f"w{i}" for i in range(300)], size=rng.integers(1, 40))) for _ in range(400)]
    queries = [" ".join(rng.choice([f"w{i}" for i in range(300)], size=5)) for _ in range(30)]
    run, corpus = search(context, texts, queries, f'bm25(method="{method}", k1=1.2, b=0.75, delta=0.5, analyzer=words)')
    peer = bm25s.BM25(method=method, k1=1.2, b=0.75, delta=0.5)
    peer.index([t.split() for t in texts], show_progress=False)
    rank = {name: int(name[1:]) for name in corpus.ids(range(len(corpus)))}
    for position, query in enumerate(queries):
        theirs = peer.get_scores(query.split())
        rows, scores = run.of(position)
        documents = [rank[name] for name in corpus.ids(rows)]
        assert np.allclose(scores, theirs[documents], atol=1e-5)
        assert len(documents) == sum(1 for t in texts if set(t.split()) & set(query.split()))


def test_nothing_to_find(context: Context) -> None:
    run, _ = search(context, ["aa bb", "cc"], ["", "zz", "the of"], "bm25")
    assert run.lengths.tolist() == [0, 0, 0]
    run, _ = search(context, [], ["aa"], "bm25")
    assert run.lengths.tolist() == [0]
    run, _ = search(context, ["", ""], ["aa"], "bm25")
    assert run.lengths.tolist() == [0]
    run, _ = search(context, ["aa"], ["aa"], "bm25(k=50)")
    assert run.lengths.tolist() == [1]


def test_documents_of_one_score_come_by_descending_id(context: Context) -> None:
    run, corpus = search(context, ["aa bb"] * 50, ["aa"], "bm25(k=10)")
    assert corpus.ids(run.rows) == [f"d{i:03d}" for i in range(49, 39, -1)]


@given(st.lists(TEXT, min_size=1, max_size=8), TEXT.filter(bool), st.sampled_from(METHODS))
@settings(max_examples=40, deadline=None)
def test_explanations_add_up(context: Context, texts: list[str], query: str, method: str) -> None:
    expression = f'bm25(method="{method}", analyzer=words)'
    run, corpus = search(context, texts, [query], expression)
    explained = explain_pipeline(context, expression, query, run.rows.tolist(), corpus)
    for explanation, score in zip(explained, run.scores, strict=True):
        assert explanation.total() == pytest.approx(float(score), abs=1e-5)


def test_explanations_show_words_and_their_places(context: Context) -> None:
    text = "Reading files: the reader reads a file, and files it"
    _, corpus = search(context, [text, "nothing of it"], ["x"], "bm25")
    query = "read the Files files twice"
    (made,) = explain_pipeline(context, "bm25", query, corpus.rows(["d000"]).tolist(), corpus)
    assert [(part.label, part.span) for part in made.contributions] == [
        ("read", (0, 4)),
        ("Files", (9, 14)),
        ("files", (15, 20)),
        ("twice", (21, 26)),
    ]
    held = [[made.text[a:b] for a, b in part.spots("document")] for part in made.contributions]
    assert held == [["Reading", "reads"], ["files", "file", "files"], ["files", "file", "files"], []]
    assert made.contributions[1].score == made.contributions[2].score > 0
    assert made.contributions[3].note == "not in the document"


def test_phrases_are_explained_as_they_are_asked_for(context: Context) -> None:
    pytest.importorskip("tantivy")
    expression = "tantivy(phrases=true)"
    query = 'cold "guard dog" water'
    run, corpus = search(context, ["the guard dog drinks cold water", "a dog on guard"], [query], expression)
    (made,) = explain_pipeline(context, expression, query, run.rows.tolist(), corpus)
    assert [part.label for part in made.contributions] == ["cold", "guard dog", "water"]
    assert [made.text[a:b] for a, b in made.contributions[1].spots("document")] == ["guard dog"]
    assert made.total() == pytest.approx(float(run.scores[0]), abs=1e-5)
    assert made.remainder == 0


def test_an_index_made_with_another_analyzer_is_another(context: Context) -> None:
    corpus = Corpus.from_documents([Document("d", "", "cats")])
    addresses = set()
    for analyzer in ("english", "words", "char-ngrams(n=3)", "char-ngrams(n=4)"):
        retriever: Any = context.create("retrieve", f"bm25(analyzer={analyzer})")
        addresses.add(retriever.needs(corpus.need)[0].recipe.address)
    assert len(addresses) == 4
    one: Any = context.create("retrieve", "bm25(k=1)")
    two: Any = context.create("retrieve", "bm25(k=2)")
    assert one.needs(corpus.need)[0].recipe.address == two.needs(corpus.need)[0].recipe.address


@pytest.mark.parametrize(
    ("collection", "expression", "figure"),
    [
        ("cranfield", "bm25", 0.519),
        ("scifact", "bm25", 0.679),
        ("vaswani", "bm25", 0.436),
        ("cacm", "bm25", 0.497),
        ("xquad-zh", "bm25(analyzer=chinese(search=false))", 0.963),
    ],
)
def test_figures_of_real_collections(context: Context, collection: str, expression: str, figure: float) -> None:
    if not (DATA / collection).is_dir():
        pytest.skip(f"the collection {collection} is not there; SPANIEL_TEST_DATA names the folder that has it")
    if "chinese" in expression:
        pytest.importorskip("jieba", reason="the extra `chinese` is not installed")
    task = open_task(context, find_dataset(context, str(DATA / collection)), "test")
    system = run_system(context, context.pipeline(expression), task, ["nDCG@10"])
    assert system.evaluation is not None
    assert system.evaluation.means["nDCG@10"] == pytest.approx(figure, abs=0.002)
