"""Dense retrieval and its explanation, on a tiny random model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Context, Corpus, Document, Queries, Stage
from spaniel.encoding import corpus_vectors, vectors_need
from spaniel.pipeline import run as running
from spaniel_dense.encoder import SentenceEncoder

WORDS = ("dog", "cat", "ship", "bread", "star", "river", "sleeps", "sails", "shines", "north", "winter", "water")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(0, 30))) for _ in range(300)]
    return Corpus.from_documents(Document(f"d{n}", "the", text) for n, text in enumerate(texts))


def stage(model: Path, **options: Any) -> Stage:
    return Stage("dense", encoder=Stage("sentence-transformer", model=str(model)), **options)


def test_runs_are_those_of_brute_force(context: Context, plain_model: Path, corpus: Corpus) -> None:
    queries = Queries.from_lists(["a", "b", "c", "d"], ["the dog", " \t", "ship sails north", "the dog"])
    run = context.run(stage(plain_model, k=20), queries, corpus)
    assert run.lengths.tolist() == [20, 0, 20, 20]
    encoder = context.create("encode", Stage("sentence-transformer", model=str(plain_model)))
    documents = encoder.encode(corpus.contents(range(len(corpus))), "document")["dense"]
    scores = encoder.encode(["the dog", "ship sails north"], "query")["dense"].dot(documents)
    for query, line in ((0, 0), (2, 1), (3, 0)):
        rows, found = run.of(query)
        assert np.allclose(found, -np.sort(-scores[line])[:20], atol=1e-5)
        assert np.allclose(scores[line, rows], found, atol=1e-5)
    assert (run.of(0)[0] == run.of(3)[0]).all()


def test_only_empty_queries_and_an_empty_corpus(context: Context, plain_model: Path, corpus: Corpus) -> None:
    assert len(context.run(stage(plain_model), Queries.from_lists(["a"], [""]), corpus).rows) == 0
    nothing = Corpus.from_documents([])
    run = context.run(stage(plain_model), Queries.from_lists(["a"], ["dog"]), nothing)
    assert run.lengths.tolist() == [0]


def test_planning_loads_and_builds_nothing(
    context: Context, plain_model: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("spaniel_neural.loading.load_transformer", refuse)
    needs = running.needs(context, context.pipeline(stage(plain_model)), corpus.need)
    assert [need.recipe.type for need in needs] == ["corpus", "vectors", "index"]
    assert not any(context.store.has(need.recipe.address) for need in needs)


def test_a_killed_encode_goes_on_and_ends_the_same(
    tmp_path: Path, plain_model: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spaniel.encoding.SHARD", 64)
    encoder = Stage("sentence-transformer", model=str(plain_model))
    whole = Context(tmp_path / "whole", device="cpu")
    expected = corpus_vectors(whole, encoder, corpus.need, "dense").values

    calls: list[int] = []
    encode = SentenceEncoder.encode

    def counted(self: SentenceEncoder, texts: Sequence[str], *rest: Any) -> Mapping[str, Any]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(len(texts))
        return encode(self, texts, *rest)

    monkeypatch.setattr(SentenceEncoder, "encode", counted)
    with pytest.raises(KeyboardInterrupt):
        corpus_vectors(Context(tmp_path / "killed", device="cpu"), encoder, corpus.need, "dense")
    calls.append(0)
    resumed = corpus_vectors(Context(tmp_path / "killed", device="cpu"), encoder, corpus.need, "dense").values
    assert calls == [64, 64, 64, 0, 64, 44]
    assert np.array_equal(resumed, expected)


def test_the_recipe_knows_the_model(context: Context, plain_model: Path, corpus: Corpus) -> None:
    def recipe(**options: Any) -> Any:
        return vectors_need(
            context, Stage("sentence-transformer", model=str(plain_model), **options), corpus.need
        ).recipe

    assert set(recipe().inputs) == {"corpus", "model"}
    assert recipe().address != recipe(pooling="cls").address
    assert recipe(prompt_document="the ").inputs["prompt"] == "the "
