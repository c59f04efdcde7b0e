"""tantivy as a living index: changes, ties, phrases, filters, and queries that look like its query language."""

from __future__ import annotations

import numpy as np
import pytest
from spaniel import Context, Corpus, Document, Queries, Run, UsageError
from spaniel.indexing import Change, changed_need, index_need, open_needed
from spaniel.store import Need

pytest.importorskip("tantivy", reason="the extra `tantivy` is not installed")

WORDS = [f"w{number}" for number in range(40)]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


def corpus_of(texts: list[str], first: int = 0) -> Corpus:
    """Make a corpus whose rows are the texts' places: ids descend."""
    return Corpus.from_documents(Document(f"d{99_999 - first - number}", "", text) for number, text in enumerate(texts))


def texts_of(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 12))) for _ in range(count)]


def built(context: Context, texts: list[str]) -> Need:
    return index_need(context, "tantivy(analyzer=words)", corpus_of(texts).need)


def search(context: Context, need: Need, queries: list[str], k: int = 1000) -> Run:
    return open_needed(context, "tantivy(analyzer=words)", need).search(queries, k)


def test_scores_are_bm25_and_the_cut_keeps_the_tie_rule(context: Context) -> None:
    texts = texts_of(60, 0) * 40
    corpus = corpus_of(texts)
    queries = Queries.from_lists([f"q{i}" for i in range(12)], texts_of(12, 1))
    whole = context.run("tantivy(analyzer=words, k=5000)", queries, corpus)
    exact = context.run("bm25(analyzer=words, k=5000, method=lucene)", queries, corpus)
    for query in range(len(queries)):
        rows, scores = whole.of(query)
        assert set(rows.tolist()) == set(exact.of(query)[0].tolist())
        # Lengths of up to 40 tokens are kept exactly; Lucene's formula leaves out the factor k1 + 1.
        by_row = dict(zip(*(array.tolist() for array in exact.of(query)), strict=True))
        assert np.allclose(scores / 2.2, [by_row[row] for row in rows.tolist()], rtol=1e-4)
    for k in (1, 7, 40, 41):
        cut = context.run(f"tantivy(analyzer=words, k={k})", queries, corpus)
        assert cut == whole.cut(k)


def test_added_and_deleted_documents(context: Context) -> None:
    texts, more = texts_of(80, 2), texts_of(30, 3)
    queries = texts_of(10, 4)
    base = built(context, texts)
    deleted, rows = list(range(0, 80, 3)), list(range(500, 530))
    change = Change(deleted, corpus_of(more).need, rows)
    changed = search(context, changed_need(context, "tantivy(analyzer=words)", base, change), queries)
    left = [number for number in range(80) if number not in deleted]
    fresh = search(context, built(context, [texts[number] for number in left] + more), queries)
    # The lower row wins a tie in both, so that the order is the same under the other numbers.
    expected = np.array(left + rows)[fresh.rows]
    assert changed.offsets.tolist() == fresh.offsets.tolist()
    assert changed.rows.tolist() == expected.tolist()
    assert np.allclose(changed.scores, fresh.scores, rtol=1e-6), "nothing of the deleted is left in the statistics"
    assert len(open_needed(context, "tantivy(analyzer=words)", base)) == 80, "the base stays as it was"


def test_adding_alone_links_what_is_there(context: Context) -> None:
    texts, more = texts_of(50, 5), texts_of(5, 6)
    base = built(context, texts)
    grown = changed_need(
        context, "tantivy(analyzer=words)", base, Change((), corpus_of(more).need, [60, 61, 62, 63, 64])
    )
    index = open_needed(context, "tantivy(analyzer=words)", grown)
    assert len(index) == 55
    kept = {path.stat().st_ino for path in context.obtain(base).path.rglob("*.store")}
    assert kept & {path.stat().st_ino for path in context.obtain(grown).path.rglob("*.store")}
    assert not context.store.verify(grown.recipe.address)


def test_changes_that_are_refused_leave_the_index_as_it_was(context: Context) -> None:
    texts = texts_of(20, 7)
    need = built(context, texts)
    index = context.create("index", "tantivy(analyzer=words)").open(context.obtain(need))
    before = index.search(texts[:5], 50)
    for rows, what in (([3], "held already"), ([-1], "from 0 to"), ([30, 30], "comes twice"), ([30], "1 rows for 2")):
        with pytest.raises(UsageError, match=what):
            index.add(corpus_of(["w1"] * (2 if what == "1 rows for 2" else len(rows))), np.array(rows))
    for rows, what in (([99], "not held"), ([1, 1], "comes twice")):
        with pytest.raises(UsageError, match=what):
            index.delete(np.array(rows))
    assert index.search(texts[:5], 50) == before
    assert len(index) == 20


def test_phrases(context: Context) -> None:
    corpus = corpus_of(["new york city", "york is new", "a new day in york", "the new york"])
    asked = ['"new york"', "new york", '"new york" city', 'new "york', '"', '"day"', '"york new"']
    queries = Queries.from_lists([f"q{i}" for i in range(len(asked))], asked)
    run = context.run("tantivy(analyzer=words, phrases=true)", queries, corpus)
    found = [sorted(run.of(query)[0].tolist()) for query in range(len(queries))]
    assert found == [[0, 3], [0, 1, 2, 3], [0, 3], [0, 1, 2, 3], [], [2], []]
    assert run.of(2)[0].tolist() == [0, 3], "the other words decide the order"
    plain = context.run("tantivy(analyzer=words)", queries, corpus)
    assert sorted(plain.of(0)[0].tolist()) == [0, 1, 2, 3]


def test_nothing_is_read_as_query_language(context: Context) -> None:
    corpus = corpus_of(["and not or title", "row 3 tokens", "wild card"])
    asked = ["tokens:row AND NOT (title", "row:[0 TO 9]", "wil*", "+wild -card^2~", "\\", "a\x1fb"]
    queries = Queries.from_lists([f"q{i}" for i in range(len(asked))], asked)
    run = context.run("tantivy(analyzer=words)", queries, corpus)
    same = context.run("bm25(analyzer=words)", queries, corpus)
    assert [set(run.of(q)[0].tolist()) for q in range(6)] == [set(same.of(q)[0].tolist()) for q in range(6)]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_masks(context: Context, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr("spaniel_bm25.tantivy_engine.SMALL_MASK", 20)
    texts = texts_of(400, 8)
    index = open_needed(context, "tantivy(analyzer=words)", built(context, texts))
    allowed = np.random.default_rng(0).random(400) < share
    whole = index.search(texts[:8], 400)
    run = index.search(texts[:8], 9, allowed[:350])
    for query in range(8):
        rows, scores = whole.of(query)
        kept = (rows < 350) & allowed[rows]
        assert run.of(query)[0].tolist() == rows[kept][:9].tolist()
        assert np.allclose(run.of(query)[1], scores[kept][:9], rtol=1e-6)


@pytest.mark.parametrize("system", ["tantivy", "bm25", "bm25 >> rm3", "bm25 >> bo1"])
def test_filters_over_metadata(context: Context, system: str) -> None:
    documents = [Document(f"d{i}", "", f"dog number {i}", {"year": 1990 + i}) for i in range(20)]
    corpus = Corpus.from_documents(documents)
    queries = Queries.from_lists(["q"], ["dog"])
    first, arrow, last = system.rpartition(" >> ")
    run = context.run(f'{first}{arrow}{last}(filter="year >= 2005")', queries, corpus)
    assert sorted(corpus.ids(run.rows)) == sorted(f"d{i}" for i in range(15, 20))
