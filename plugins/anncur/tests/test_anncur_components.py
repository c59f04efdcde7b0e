"""The components: contracts, calls counted by a spying scorer, builds that resume, explanations."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Component, Context, Corpus, Document, Queries, Run, UsageError, hookimpl
from spaniel.data import write_queries
from spaniel.plugins import load_registry
from spaniel.rerank import PointwiseReranker
from spaniel.testing import contract
from spaniel_anncur.matrix import SHARD

WORDS = [f"w{number}" for number in range(60)]
DIMENSIONS = 12
"""Of the words' vectors, those that the dense encoder sees."""
PAIRS: list[tuple[str, str]] = []
"""Every pair that the spy scored."""
STOP_AFTER: list[int] = []
"""Pairs after which the spy is killed."""


class Killed(BaseException):
    pass


def _vector(text: str) -> np.ndarray:
    made = np.zeros(24)
    for word in text.split():
        made += np.random.default_rng(zlib.crc32(word.encode())).normal(size=24)
    return made


class Spy(PointwiseReranker):
    """Scores by words' random vectors, with a twist that no pair of vectors can express."""

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        if STOP_AFTER and len(PAIRS) >= STOP_AFTER[0]:
            raise Killed
        PAIRS.extend(zip(queries, texts, strict=True))
        known = {text: _vector(text) for text in {*queries, *texts}}
        made = [known[q] @ known[t] + 0.5 * np.sin(known[q] @ known[t]) for q, t in zip(queries, texts, strict=True)]
        return np.array(made, np.float32)


class Listwise:
    def __init__(self, config: None, context: Context) -> None:
        pass

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        return run


class Bag:
    """A dense encoder that knows the words' vectors."""

    def __init__(self, config: None, context: Context) -> None:
        pass

    def encode(self, texts: Sequence[str], role: str, metadata: Any = None) -> Any:
        from spaniel.data import DenseVectors

        values = np.stack([_vector(text) for text in texts]) if texts else np.zeros((0, 24))
        return {"dense": DenseVectors(values[:, :DIMENSIONS].astype(np.float32), "dot")}

    def fingerprint(self, role: str) -> dict[str, str]:
        return {"bag": "1"}


class Plugin:
    @staticmethod
    @hookimpl
    def rerank() -> Iterator[Component]:
        yield Component("spy", f"{__name__}:Spy", "scores, and remembers")
        yield Component("whole-list", f"{__name__}:Listwise", "does not score pairs")

    @staticmethod
    @hookimpl
    def encode() -> Iterator[Component]:
        yield Component("bag", f"{__name__}:Bag", "words' vectors", gives=("dense",))


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    PAIRS.clear()
    STOP_AFTER.clear()
    yield
    STOP_AFTER.clear()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    registry = load_registry(warn=False)
    registry.register(Plugin, "at-hand")
    return Context(tmp_path / "store", registry=registry)


def _text(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    return Corpus.from_documents(Document(f"d{number:04d}", "", _text(rng, 12)) for number in range(600))


@pytest.fixture(scope="module")
def asked() -> Queries:
    rng = np.random.default_rng(1)
    return Queries.from_lists([str(n) for n in range(20)], [_text(rng, 4) for _ in range(20)])


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A file of anchor queries."""
    rng = np.random.default_rng(2)
    path = tmp_path / "known.jsonl"
    write_queries(path, Queries.from_lists([str(n) for n in range(50)], [_text(rng, 4) for _ in range(50)]))
    return path


def _exact(queries: Queries, corpus: Corpus) -> np.ndarray:
    texts = corpus.contents(range(len(corpus)))
    left, right = (np.stack([_vector(text) for text in given]) for given in (queries.texts, texts))
    return np.asarray(left @ right.T + 0.5 * np.sin(left @ right.T), np.float32)


def _recall(run: Run, exact: np.ndarray, k: int) -> float:
    best = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    return float(np.mean([np.isin(best[q], run.of(q)[0][:k]).mean() for q in range(len(run))]))


def _scorer(options: str, known: Path) -> str:
    return f"{options}, scorer=spy, queries='{known}', anchor_queries=40)"


def test_calls_are_within_the_budget_and_no_pair_comes_twice(
    context: Context, corpus: Corpus, asked: Queries, known: Path
) -> None:
    exact = _exact(asked, corpus)
    recalls = {}
    for name, expression in {
        "anncur": "anncur(budget=80, k=40",
        "adacur": "adacur(budget=80, k=40",
        "softmax": "adacur(budget=80, k=40, next=softmax, temperature=2.0, last=0.3",
    }.items():
        context.pipeline(_scorer(expression, known))
        built = len(PAIRS)
        run = context.run(_scorer(expression, known), asked, corpus)
        if not built:
            mine = [pair for pair in PAIRS if pair[0] in set(asked.texts)]
            theirs = [pair for pair in PAIRS if pair[0] not in set(asked.texts)]
            assert len(theirs) == len(set(theirs)) == 40 * 600  # exactly k_q · m calls
        else:
            mine = PAIRS[built:]
        assert len(mine) == len(set(mine)) == 20 * 80
        assert (run.lengths == 40).all()
        for query in range(20):
            rows, scores = run.of(query)
            assert np.allclose(scores, exact[query, rows], atol=1e-4)  # what is returned has true scores
        recalls[name] = _recall(run, exact, 10)
    assert recalls["adacur"] > 0.85
    assert recalls["anncur"] > 0.6


def test_an_earlier_run_begins_and_its_documents_are_in_the_result(
    context: Context, corpus: Corpus, asked: Queries, known: Path
) -> None:
    rows = np.tile(np.arange(20, dtype=np.int32), (20, 1))
    earlier = Run.from_matrix(rows, np.tile(np.arange(20, 0, -1, dtype=np.float32), (20, 1)))
    stage = context.create("retrieve", _scorer("adacur(budget=100, k=100", known))
    found = stage.retrieve(asked, corpus, earlier)
    for query in range(20):
        assert set(range(20)) <= set(found.of(query)[0].tolist())
    cut = stage.retrieve(asked.select([3]), corpus, earlier.select([3]))
    assert np.array_equal(cut.rows, found.select([3]).rows)  # a query is searched as if it were alone


def test_lists_are_filled_up_behind_everything_scored(
    context: Context, corpus: Corpus, asked: Queries, known: Path
) -> None:
    short = context.run(_scorer("anncur(budget=30, k=100", known), asked, corpus)
    assert (short.lengths == 30).all()
    filled = context.run(_scorer("anncur(budget=30, k=100, fill=true", known), asked, corpus)
    assert (filled.lengths == 100).all()
    for query in range(20):
        assert np.array_equal(filled.of(query)[0][:30], short.of(query)[0])
        assert np.array_equal(filled.of(query)[1][:30], short.of(query)[1])
    random = np.tile(np.random.default_rng(0).permutation(600)[:100], (20, 1))
    exact = _exact(asked, corpus)
    behind = np.mean([exact[query, filled.of(query)[0][30:]].mean() for query in range(20)])
    assert behind > np.take_along_axis(exact, random, 1).mean() + 1


def test_documents_as_anchor_queries(context: Context, corpus: Corpus, asked: Queries) -> None:
    exact = _exact(asked, corpus)
    for solver in ("pinv", "ridge", "direct"):
        run = context.run(f"anncur(scorer=spy, anchor_queries=60, budget=120, k=20, solver={solver})", asked, corpus)
        assert _recall(run, exact, 10) > 0.5, solver
    automatic = context.run("anncur(scorer=spy, anchor_queries=60, budget=120, k=20, anchors=auto)", asked, corpus)
    assert _recall(automatic, exact, 10) > 0.5
    chance = 120 / 600
    assert chance < 0.5


def test_a_build_that_was_killed_scores_no_shard_again(context: Context, corpus: Corpus, known: Path) -> None:
    from spaniel_anncur.matrix import matrix_need

    config = context.bind("retrieve", _scorer("adacur(budget=80", known)).config
    STOP_AFTER.append(40 * SHARD + 1)
    with pytest.raises(Killed):
        context.obtain(matrix_need(context, config, corpus.need))
    first = list(PAIRS)
    assert 40 * SHARD <= len(first) < 40 * 600
    STOP_AFTER.clear()
    other = Context(context.store, registry=context.registry)
    artifact = other.obtain(matrix_need(other, config, corpus.need))
    finished = set(first[: 40 * SHARD])
    assert not finished & set(PAIRS[len(first) :])
    assert artifact.info["pairs"] == 40 * 600
    PAIRS.clear()
    assert other.obtain(matrix_need(other, config, corpus.need)).address == artifact.address
    assert not PAIRS


def test_a_long_list_within_a_budget(context: Context, corpus: Corpus, asked: Queries, known: Path) -> None:
    rng = np.random.default_rng(3)
    rows = np.stack([rng.permutation(600)[:300] for _ in range(20)]).astype(np.int32)
    run = Run.from_matrix(rows, np.tile(np.arange(300, 0, -1, dtype=np.float32), (20, 1)))
    stage = context.create("rerank", _scorer("adacur-rerank(budget=75", known))
    for need in stage.needs(corpus.need):
        context.obtain(need)
    built = len(PAIRS)
    found = stage.rerank(asked, run, corpus)
    mine = PAIRS[built:]
    assert len(mine) == len(set(mine)) == 20 * 75
    exact = _exact(asked, corpus)
    hits, straight = [], []
    for query in range(20):
        assert set(found.of(query)[0].tolist()) <= set(rows[query].tolist())
        best = rows[query][np.argsort(-exact[query, rows[query]])[:10]]
        hits.append(np.isin(best, found.of(query)[0][:10]).mean())
        straight.append(np.isin(best, rows[query][:75]).mean())
    assert np.mean(hits) > 0.8 > 0.4 > np.mean(straight)  # the list's own order says nothing here
    whole = stage.rerank(asked, run.cut(75), corpus)
    assert (whole.lengths == 75).all()


@pytest.mark.parametrize("factors", ["transductive", "inductive"])
def test_fitted_vectors(context: Context, corpus: Corpus, asked: Queries, known: Path, factors: str) -> None:
    stage = _scorer(f"axn(budget=60, k=20, encoder=bag, per_query=60, epochs=30, factors={factors}", known)
    run = context.run(stage, asked, corpus)
    theirs = [pair for pair in PAIRS if pair[0] not in set(asked.texts)]
    mine = [pair for pair in PAIRS if pair[0] in set(asked.texts)]
    assert len(theirs) == len(set(theirs)) == 40 * 60
    assert len(mine) == len(set(mine)) == 20 * 60
    exact = _exact(asked, corpus)
    (need, *_) = context.create("retrieve", stage).needs(corpus.need)
    before, after = context.obtain(need.inputs[0]).info["losses"]
    assert after < before
    assert _recall(run, exact, 10) > 0.6
    own = context.run(stage[:-1] + ", smoothing=1.0)", asked, corpus)
    assert not np.array_equal(own.rows, run.rows)


@pytest.mark.parametrize("stage", ["anncur", "adacur"])
def test_explanations_name_anchor_queries(
    context: Context, corpus: Corpus, asked: Queries, known: Path, stage: str
) -> None:
    target = context.create("retrieve", _scorer(f"{stage}(budget=80, center=true", known))
    for need in target.needs(corpus.need):
        context.obtain(need)
    explainer = context.create("explain", "anchor-queries")
    run = target.retrieve(asked.select([0]), corpus)
    rows = [int(run.rows[0]), int(run.rows[5]), int(np.setdiff1d(np.arange(600), run.rows)[0])]
    made = explainer.explain(target, asked.texts[0], rows, corpus)
    exact = _exact(asked, corpus)[0, rows]
    texts = {line for line in known.read_text().split('"') if line.startswith("w")}
    for explanation, score in zip(made, exact.tolist(), strict=True):
        assert abs(explanation.score - score) < 1e-4
        assert {p.label for p in explanation.contributions if p.kind == "anchor query"} <= texts
    assert [e.parameters["scored"] for e in made] == [True, True, False]
    assert abs(made[0].remainder) < 0.2 * abs(made[0].score)


def test_what_cannot_be_is_said(context: Context, corpus: Corpus, asked: Queries, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not score pairs"):
        context.run("anncur(scorer=whole-list)", asked, corpus)
    with pytest.raises(UsageError, match="more than the budget"):
        context.pipeline("anncur(anchors=300, budget=200)")
    with pytest.raises(UsageError, match="solver=direct needs queries=documents"):
        context.pipeline("anncur(solver=direct, queries=python-docs)")
    with pytest.raises(UsageError, match="no collection 'nothing-like-it'"):
        context.run("anncur(scorer=spy, queries=nothing-like-it)", asked, corpus)
    with pytest.raises(UsageError, match="needs the option `queries`"):
        context.run("axn(scorer=spy, encoder=bag)", asked, corpus)
    empty = tmp_path / "none.jsonl"
    empty.write_text('{"_id": "1", "text": " "}\n')
    with pytest.raises(UsageError, match="no queries to choose anchors from"):
        context.run(f"anncur(scorer=spy, queries='{empty}')", asked, corpus)


test_cur_keeps_its_promises = contract("index/cur", options={"anchors": 5})
test_anncur_keeps_its_promises = contract(
    "retrieve/anncur", options={"scorer": "spy", "anchor_queries": 8, "budget": 10, "k": 5}, plugins=[Plugin]
)
test_adacur_keeps_its_promises = contract(
    "retrieve/adacur", options={"scorer": "spy", "anchor_queries": 8, "budget": 10, "k": 5}, plugins=[Plugin]
)
test_adacur_rerank_keeps_its_promises = contract(
    "rerank/adacur-rerank", options={"scorer": "spy", "anchor_queries": 8, "budget": 6}, plugins=[Plugin]
)
test_anchor_queries_keep_their_promises = contract(
    "explain/anchor-queries", target="anncur(scorer=spy, anchor_queries=8, budget=10)", plugins=[Plugin]
)
