"""Every index in the registry, whoever offers it: the contract of indexes, and its name in an expression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Component, Context, Corpus, Queries, Run, UsageError, hookimpl
from spaniel.data import DenseVectors, MultiVectors
from spaniel.data.filters import filter_mask
from spaniel.plugins import Registered, load_registry
from spaniel.testing import Case, collection, promises_of

INDEXES = list(load_registry(warn=False).components("index"))
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "faiss": [{"factory": "IVF16,Flat", "nprobe": 8}, {"factory": "IVF16,PQ8x4fs", "nprobe": 16, "rescore": 16}],
    "usearch": [{"dtype": "i8", "rescore": 4}],
    "quantized": [{"bits": 1, "rescore": 16}],
    "sharded": [{"shards": 3}, {"index": "quantized", "shards": 2}],
}
"""Options that are tried beside the defaults."""
CASES = [
    pytest.param(
        registered.full_name,
        options,
        id=" ".join([registered.full_name, *map(str, options.values())]),
        marks=[pytest.mark.slow] if options else [],
    )
    for registered in INDEXES
    for options in ({}, *OPTIONS.get(registered.name, ()))
]


class Letters:
    """Encodes by counting letters: no model, and equal texts have equal vectors."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def encode(self, texts: Any, role: str, metadata: Any = None) -> dict[str, Any]:
        counts = np.zeros((len(texts), 26), np.float32)
        for row, text in enumerate(texts):
            letters = np.frombuffer(text.lower().encode("ascii", "ignore"), np.uint8)
            counts[row] = np.bincount(letters, minlength=123)[97:123]
        lengths = np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)
        offsets = np.arange(0, 2 * len(texts) + 1, 2, dtype=np.int64)
        pairs = np.stack([counts, np.flip(counts, axis=1)], axis=1).reshape(-1, 26)
        return {"dense": DenseVectors(counts / lengths, "cosine"), "multi-vector": MultiVectors(offsets, pairs)}

    def fingerprint(self, role: str) -> dict[str, str]:
        return {"letters": "1"}


class Plugin:
    """The encoder at hand."""

    @hookimpl
    def encode(self) -> Any:
        yield Component(
            "letters", factory=f"{__name__}:Letters", summary="counts letters", gives=("dense", "multi-vector")
        )


def test_there_are_indexes_of_every_sort() -> None:
    names = {registered.name for registered in INDEXES}
    assert {"flat", "faiss", "usearch", "quantized", "sharded", "maxsim", "bm25"} <= names


@pytest.mark.parametrize("promise", promises_of("index"))
@pytest.mark.parametrize(("name", "options"), CASES)
def test_an_index_keeps_its_promises(name: str, options: dict[str, Any], promise: str, tmp_path: Path) -> None:
    promises_of("index")[promise](Case(f"index/{name}", tmp_path, options=options))


# One word


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    registry = load_registry(warn=False)
    module = type("letters", (), {"Letters": Letters})
    monkeypatch.setitem(__import__("sys").modules, __name__, module)
    registry.register(Plugin(), "at-hand")
    return Context(tmp_path, device="cpu", registry=registry)


def taking(form: str) -> list[Registered]:
    return [registered for registered in INDEXES if form in registered.component.takes]


@pytest.mark.parametrize("name", [registered.full_name for registered in taking("dense")])
def test_one_word_changes_the_engine_of_dense(context: Context, name: str) -> None:
    made = collection()
    corpus = made.corpus()
    exact = context.run("dense(encoder=letters, k=5)", made.queries, corpus)
    found = context.run(f"dense(encoder=letters, index={name}, k=5)", made.queries, corpus)
    # So few documents are compared one by one, whatever the engine.
    assert found == exact


@pytest.mark.parametrize("name", [registered.full_name for registered in taking("multi-vector")])
def test_one_word_changes_the_engine_of_multi_vectors(context: Context, name: str) -> None:
    made = collection()
    found = context.run(f"multi-vector(encoder=letters, index={name}, k=5)", made.queries, made.corpus())
    assert found.lengths.tolist() == [5] * len(made.queries)


@pytest.mark.parametrize("name", [registered.full_name for registered in taking("dense")])
def test_a_filter_lets_only_its_documents_through(context: Context, name: str) -> None:
    made = collection("odd")
    documents = [d._replace(metadata={"year": 1900 + n}) for n, d in enumerate(made.documents) if d.id != "no-text"]
    corpus, queries = Corpus.from_documents(documents), Queries.from_lists(["q"], ["dog water"])
    allowed = filter_mask(corpus, "year >= 1910")
    assert 0 < allowed.sum() < len(corpus)
    run = context.run(f"dense(encoder=letters, index={name}, filter='year >= 1910')", queries, corpus)
    assert sorted(run.rows.tolist()) == np.flatnonzero(allowed).tolist()
    everything = context.run("dense(encoder=letters)", queries, corpus)
    keep = allowed[everything.rows]
    assert run == Run.build([0, int(keep.sum())], everything.rows[keep], everything.scores[keep])


def test_a_bad_filter_is_found_before_anything_loads(context: Context) -> None:
    with pytest.raises(UsageError, match=r"(?s)expected a value.*\^"):
        context.pipeline("dense(encoder=letters, filter='year >= ')")
