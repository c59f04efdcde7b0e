"""Batches: every text once, within the budget; what stands beside a text changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import UsageError
from spaniel_neural.batching import Batch, Tokens, batch_by_length, batches, make_batch, run_batches, tokenize
from spaniel_neural.loading import Transformer
from spaniel_neural.pooling import pool

ENCODERS = ("bert", "roberta", "distilbert", "t5", "bart", "llama")


def test_batches_hold_their_tokens_and_every_text_once() -> None:
    lengths = np.random.default_rng(0).integers(0, 300, size=500)
    parts = list(batch_by_length(lengths, 1024))
    assert sorted(np.concatenate(parts)) == np.flatnonzero(lengths).tolist()
    assert all(len(part) * lengths[part].max() <= 1024 for part in parts)
    assert max(map(len, batch_by_length(lengths, 1024, 2))) == 2
    assert [part.tolist() for part in batch_by_length(np.array([2000, 5000]), 1024)] == [[1], [0]]


@pytest.mark.parametrize("mode", ["mean", "cls", "last-token", "max", "weighted-mean"])
@pytest.mark.parametrize("family", ENCODERS)
def test_padding_changes_nothing(loaded: Callable[..., Transformer], texts: list[str], family: str, mode: str) -> None:
    if family == "bart" and mode == "last-token":
        mode = "mean"  # its last token is </s> in every text; the mean says more
    transformer = loaded(family)
    tokens = tokenize(transformer.tokenizer, texts)

    def step(output: Any, batch: Batch) -> torch.Tensor:
        return pool(output.last_hidden_state, batch.lengths, mode)

    alone = [run_batches(transformer, tokenize(transformer.tokenizer, [text]), step)[0] for text in texts if text]
    together, calls = run_batches(transformer, tokens, step)
    assert calls == 1
    present = [place for place, text in enumerate(texts) if text]
    assert np.abs(together[present] - np.concatenate(alone)).max() < 1e-5
    by_two, calls = run_batches(transformer, tokens, step, 2)
    assert calls == -(-int((tokens.lengths > 0).sum()) // 2)
    assert np.abs(by_two - together).max() < 1e-5


def test_pairs_are_marked_and_padding_changes_no_score(loaded: Callable[..., Transformer], texts: list[str]) -> None:
    transformer = loaded("bert", "sequence-classification")
    queries = ["the dog", "star", "winter north", "ship", "a cat", "bread", "the"]
    pairs = tokenize(transformer.tokenizer, queries, texts)
    assert pairs.types is not None
    begin = pairs.offsets[0]
    assert pairs.types[begin : begin + pairs.lengths[0]].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]

    def step(output: Any, batch: Batch) -> torch.Tensor:
        return output.logits

    together, _ = run_batches(transformer, pairs, step)
    for place, (query, text) in enumerate(zip(queries, texts, strict=True)):
        expected = transformer.model(**transformer.tokenizer([query], [text], return_tensors="pt")).logits
        assert np.abs(together[place] - expected.detach().numpy()).max() < 1e-5


def test_pairs_are_cut_where_asked(loaded: Callable[..., Transformer]) -> None:
    tokenizer = loaded().tokenizer
    long = "star " * 30
    cut = tokenize(tokenizer, ["the dog"], [long], max_length=12, truncate="only_second")
    assert cut.lengths.tolist() == [12]
    assert cut.ids[:4].tolist() == tokenizer("the dog")["input_ids"]
    with pytest.raises(UsageError, match="2 texts and 3 to pair them with"):
        tokenize(tokenizer, ["star"] * 2, [long] * 3, max_length=8)


def test_texts_without_tokens_and_no_texts(loaded: Callable[..., Transformer]) -> None:
    transformer = loaded("llama")
    assert run_batches(transformer, tokenize(transformer.tokenizer, []), lambda o, b: o)[0].shape == (0,)
    tokens = Tokens(np.array([5, 6]), np.array([0, 2]))
    rows, calls = run_batches(transformer, tokens, lambda output, batch: output.last_hidden_state[:, -1])
    assert calls == 1
    assert not rows[0].any()
    assert rows[1].any()
    assert sum(batch.tokens for batch in batches(transformer, tokens)) == 2


def test_without_padding_there_is_no_mask(loaded: Callable[..., Transformer]) -> None:
    transformer = loaded()
    tokens = tokenize(transformer.tokenizer, ["the dog", "the cat", "star"])
    assert "attention_mask" not in make_batch(transformer, tokens, np.array([0, 1])).inputs
    padded = make_batch(transformer, tokens, np.array([2, 0])).inputs
    assert padded["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert padded["input_ids"][0, 3] == transformer.tokenizer.pad_token_id
