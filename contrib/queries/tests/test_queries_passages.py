"""Passages: cut, searched, pooled and reranked as brute force does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field
from spaniel import Component, Config, Context, Corpus, Document, Queries, Run, UsageError, hookimpl
from spaniel.data.texts.passages import sentences, windows, words_of
from spaniel.explain import explain_pipeline
from spaniel.pipeline.run import needs
from spaniel.plugins import Registry, load_registry
from spaniel.rerank import PointwiseReranker

HERE = __name__
WORDS = "ant bee cat dog elk fox gnu hen ibis jay kiwi lynx mole newt owl pig".split()  # noqa: SIM905


class Shared(PointwiseReranker):
    """Words of the query in the text, less a little for each word: a score below 0 now and then."""

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        return np.array([_score(q, t) for q, t in zip(queries, texts, strict=True)], np.float32)


def _score(query: str, text: str) -> float:
    words = text.split()
    return sum(words.count(word) for word in query.split()) - 0.001 * len(text)


class Plugin:
    @hookimpl
    def rerank(self) -> Iterator[Component]:
        yield Component("shared", f"{HERE}:Shared", "words in common", config=f"{HERE}:Options")


class Options(Config):
    """Options of the reranker."""

    k: int = Field(100, description="documents", ge=1)


def documents() -> list[Document]:
    rng = np.random.default_rng(5)
    made = []
    for number in range(12):
        words = [WORDS[i] for i in rng.integers(0, len(WORDS), int(rng.integers(0, 60)))]
        made.append(Document(f"d{number}", f"Title {number}" if number % 2 else "", " ".join(words), {"year": number}))
    return made


CORPUS = Corpus.from_documents(documents())
QUERIES = Queries.from_lists(["1", "2", "3"], ["ant bee", "lynx", "owl pig cat"])


@pytest.fixture(scope="module")
def registry() -> Registry:
    made = load_registry()
    made.register(Plugin(), "test-plugin")
    return made


@pytest.fixture
def context(tmp_path: Path, registry: Registry) -> Context:
    return Context(tmp_path / "store", device="cpu", offline=True, registry=registry)


def passages(document: Document, size: int, stride: int) -> list[str]:
    words = document.text.split()
    made = [words[i : i + size] for i in range(0, len(words), stride)]
    last = next((at for at, part in enumerate(made) if at * stride + size >= len(words)), 0)
    return [f"{document.title} {' '.join(part)}".strip() for part in (made[: last + 1] or [[]])]


def pooled(scores: list[float], pool: str) -> float:
    best = sorted(scores, reverse=True)
    return {"max": best[0], "sum": sum(best), "first": scores[0], "mean": sum(best[:3]) / len(best[:3])}[pool]


@pytest.mark.parametrize("pool", ["max", "sum", "first", "mean"])
def test_reranking_by_passages_is_brute_force(context: Context, pool: str) -> None:
    first = context.run("bm25(analyzer=words)", QUERIES, CORPUS)
    made = context.run(f"bm25(analyzer=words) >> passages(shared, words=10, stride=5, pool={pool})", QUERIES, CORPUS)
    assert len(first.rows) > 10
    for at, query in enumerate(QUERIES.texts):
        rows = first.of(at)[0]
        wanted = {
            int(row): pooled([_score(query, text) for text in passages(document, 10, 5)], pool)
            for row, document in zip(rows, CORPUS.documents(rows), strict=True)
        }
        found, scores = made.of(at)
        assert dict(zip(found.tolist(), scores.tolist(), strict=True)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("pool", ["max", "sum", "first", "mean"])
@pytest.mark.parametrize("k", [1000, 3])
def test_searching_passages_is_brute_force(context: Context, pool: str, k: int) -> None:
    """The system is asked until there are so many documents: with few passages at first, the best documents are the same."""
    made = context.run(f"passages(bm25(analyzer=words, k={k}), words=10, stride=5, pool={pool}, k=5)", QUERIES, CORPUS)
    parts = [(d, n, t) for d in CORPUS.documents(range(len(CORPUS))) for n, t in enumerate(passages(d, 10, 5))]
    cut = Corpus.from_documents([Document(f"{d.id}#{n + 1}", text=t) for d, n, t in parts])
    whole = context.run("bm25(analyzer=words, k=100000)", QUERIES, cut)
    for at in range(len(QUERIES)):
        rows, scores = whole.of(at)
        of: dict[str, dict[int, float]] = {}
        for name, score in zip(cut.ids(rows), scores.tolist(), strict=True):
            document, _, number = name.rpartition("#")
            of.setdefault(document, {})[int(number) - 1] = score
        wanted = {}
        for document in CORPUS.documents(range(len(CORPUS))):
            found = of.get(document.id, {})
            everything = [found.get(n, 0.0) for n in range(len(passages(document, 10, 5)))]
            if found and (pool != "first" or 0 in found):
                wanted[int(CORPUS.rows([document.id])[0])] = pooled(everything, pool)
        best = sorted(wanted.items(), key=lambda pair: (-np.float32(pair[1]), pair[0]))[:5]
        got = dict(zip(made.of(at)[0].tolist(), made.of(at)[1].tolist(), strict=True))
        assert len(got) == min(5, len(wanted))
        if pool in ("max", "first") or k == 1000:
            assert list(got.values()) == pytest.approx([score for _, score in best], abs=1e-4)
            assert all(got[row] == pytest.approx(wanted[row], abs=1e-4) for row in got)


def test_a_query_does_not_depend_on_the_others(context: Context) -> None:
    system = "passages(bm25(analyzer=words, k=2), words=8, stride=3, pool=mean)"
    together = context.run(system, QUERIES, CORPUS)
    for at in range(len(QUERIES)):
        alone = context.run(system, QUERIES.select([at]), CORPUS)
        assert alone == together.select([at])


def test_the_k_of_a_reranker_counts_documents(context: Context) -> None:
    made = context.run("bm25(analyzer=words) >> passages(shared(k=3), words=5)", QUERIES, CORPUS)
    first = context.run("bm25(analyzer=words) % 3", QUERIES, CORPUS)
    for at in range(len(QUERIES)):
        assert sorted(made.of(at)[0].tolist()) == sorted(first.of(at)[0].tolist())


def test_only_what_the_passages_need_is_built(context: Context) -> None:
    pipeline = context.pipeline("passages(bm25(analyzer=words), words=10)")
    found = needs(context, pipeline, CORPUS.need)
    assert [need.recipe.type for need in found] == ["corpus", "corpus", "split", "index"]
    assert found[-1].recipe.inputs == {"corpus": found[1].recipe.address}


def test_filters_work_on_passages(context: Context) -> None:
    made = context.run('passages(bm25(analyzer=words, filter="year < 4"), words=10)', QUERIES, CORPUS)
    assert set(CORPUS.ids(made.rows)) <= {"d0", "d1", "d2", "d3"}
    assert len(made.rows)


@pytest.mark.parametrize("pool", ["max", "sum", "first", "mean"])
@pytest.mark.parametrize(
    "system",
    [
        "passages(bm25(analyzer=words, k=4), words=10, stride=5, pool={})",
        "passages(bm25(analyzer=words), sentences=1, pool={})",
        "bm25(analyzer=words) >> passages(shared, words=10, stride=5, pool={})",
        "lower-case >> passages(lower-case >> bm25(analyzer=words), words=10, stride=5, pool={})",
    ],
)
def test_explanations_name_the_passages_and_add_up(context: Context, pool: str, system: str) -> None:
    text, query = system.format(pool), "ant bee"
    run = context.run(text, Queries.from_lists(["1"], [query]), CORPUS)
    assert len(run.rows) > 2
    for row, score in list(zip(run.rows.tolist(), run.scores.tolist(), strict=True))[:4]:
        (made,) = explain_pipeline(context, text, query, [row], CORPUS)
        assert made.total() == pytest.approx(score, abs=1e-5)
        assert made.remainder == pytest.approx(0, abs=1e-5)
        marked = [part for part in made.contributions if part.span]
        assert marked
        for part in marked:
            assert part.label.startswith("passage ")
            words = made.text[slice(*part.span)]
            assert words in CORPUS.documents([row])[0].text
            for child in part.children:
                for start, end in child.spots("document"):
                    assert made.text[start:end].lower() in ("ant", "bee", words.lower())


def test_of_what_is_not_there_nothing_is_said(context: Context) -> None:
    empty = [row for row, text in enumerate(CORPUS.contents(range(len(CORPUS)))) if "lynx" not in text][:1]
    (made,) = explain_pipeline(context, "passages(bm25(analyzer=words), words=10)", "lynx", empty, CORPUS)
    assert made.score == 0
    assert "does not retrieve it" in made.absence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("words=10, sentences=2", "measured in one of them"),
        ("tokens=10", "tokens= and tokenizer= are given together"),
        ("words=10, stride=11", "would leave out text"),
        ("words=0", "greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit(context: Context, options: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        context.pipeline(f"passages(bm25, {options})")
    with pytest.raises(UsageError, match="needs a run to work on"):
        context.pipeline("passages(shared)")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Dr. Smith went home. He slept, e.g. here! Why?", ["Dr. Smith went home.", "He slept, e.g. here!", "Why?"]),
        ("今天天气很好。我们去公园！“好吧。”他说", ["今天天气很好。", "我们去公园！", "“好吧。”", "他说"]),
        ("यह पहला वाक्य है। यह दूसरा है॥ तीसरा", ["यह पहला वाक्य है।", "यह दूसरा है॥", "तीसरा"]),
        ("هل هذا سؤال؟ نعم. هذا جواب", ["هل هذا سؤال؟", "نعم.", "هذا جواب"]),
        ("One line\ngoes on\n\nNew one", ["One line\ngoes on", "New one"]),
        ("It costs 3.5 m? J. K. Rowling knows.", ["It costs 3.5 m?", "J. K. Rowling knows."]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    assert [text[a:b] for a, b in sentences(text)] == found


@pytest.mark.parametrize("text", ["!" * 200_000 + "x", '."' * 100_000, "\n" + " " * 200_000, "।" * 200_000 + "x"])
def test_sentences_take_linear_time(text: str) -> None:
    assert len(sentences(text)) <= 1


def test_windows_cover_every_piece() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        sizes = rng.integers(0, 6, int(rng.integers(1, 20))).tolist()
        spans = [(10 * at, 10 * at + 5) for at in range(len(sizes))]
        size = int(rng.integers(1, 10))
        stride = int(rng.integers(1, size + 1))
        made = list(windows(spans, size, stride, sizes))
        covered = {at for start, end in made for at in range(start // 10, end // 10 + 1)}
        assert covered == set(range(len(sizes)))
        for start, end in made:
            inside = sizes[start // 10 : end // 10 + 1]
            assert sum(inside) <= size or len(inside) == 1


def test_words_of_scripts_without_blanks_are_two_characters() -> None:
    text = "今天天气很好 hello world"
    assert [text[a:b] for a, b in words_of(text)] == ["今天", "天气", "很好", "hello", "world"]


@pytest.mark.slow
def test_passages_of_tokens_hold_so_many(context: Context, tmp_path: Path) -> None:
    testing: Any = pytest.importorskip("spaniel_neural.testing")
    from spaniel_queries.config import Passages
    from spaniel_queries.passages.cutting import Cutter

    folder = tmp_path / "model"
    testing.write_model(folder, "bert", "encoder", texts=[" ".join(WORDS)])
    config = Passages(system=("bm25",), tokens=7, stride=4, tokenizer=str(folder))
    cutter = Cutter(config, context)
    text = " ".join(WORDS * 3) + " 今天天气很好 unknownword"
    spans = cutter.spans(text)
    assert len(spans) > 5
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for start, end in spans:
        assert 0 < len(cutter.tokenizer(text[start:end], add_special_tokens=False)["input_ids"]) <= 7
    assert cutter.description()["tokenizer"]


def test_a_run_of_nothing(context: Context) -> None:
    none = Queries.from_lists([], [])
    assert context.run("passages(bm25, words=10)", none, CORPUS) == Run.empty(0)
    assert len(context.run("passages(bm25, words=10)", Queries.from_lists(["1"], ["zzz"]), CORPUS).rows) == 0
