"""The cache of hidden states: the same values as the model's, once, through kills and damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from spaniel import ArtifactError, Context, PluginError, UsageError
from spaniel_neural.content import ContentCache, content_keys
from spaniel_neural.hidden import HiddenStates

LAYERS = (0, 1, -1)


def again(context: Context, **options: Any) -> Context:
    return Context(context.store, device="cpu", offline=True, **options)


@pytest.mark.parametrize("family", ["bert", "distilbert", "t5", "bart", "llama"])
def test_values_are_the_models(context: Context, folder: Callable[..., Path], texts: list[str], family: str) -> None:
    states = HiddenStates(context, folder(family), LAYERS, "mean")
    made = states.of(texts).all()
    assert made.shape == (len(texts), 3, 32)
    assert made.dtype == np.float32
    model, tokenizer = states.transformer.model, states.transformer.tokenizer
    for text, row in zip(texts, made, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        if not ids.shape[1]:
            assert not row.any()
            continue
        with torch.no_grad():
            output = model(input_ids=ids, output_hidden_states=True)
        hidden = output.get("encoder_hidden_states") or output["hidden_states"]
        expected = torch.stack([hidden[layer][0].mean(0) for layer in LAYERS])
        assert np.abs(row - expected.numpy()).max() < 1e-5


def test_a_text_is_run_once_in_whatever_list(context: Context, folder: Callable[..., Path], texts: list[str]) -> None:
    first = HiddenStates(context, folder(), LAYERS)
    with context.stage("test") as stage:
        made = first.of([*texts, *texts])
    assert stage.cost["texts encoded"] == len(texts)
    assert np.array_equal(made.take(range(7)), made.take(range(7, 14)))
    later = HiddenStates(again(context), folder(), (0, 1, 2))
    kept = later.of(texts[::-1])
    assert np.array_equal(kept.all()[::-1], made.take(range(7)))
    assert "transformer" not in later.__dict__, "the model is not loaded for texts that are known"
    session = again(context)
    more = HiddenStates(session, folder(), LAYERS)
    with session.stage("test") as stage:
        both = more.of(["zebra", texts[4], "zebra ship"])
    assert stage.cost["texts encoded"] == 2
    assert np.array_equal(both.take([1])[0], made.take([4])[0])
    assert more.of([]).all().shape == (0, 3, 32)


def test_what_decides_the_values_is_part_of_the_key(
    context: Context, folder: Callable[..., Path], texts: list[str]
) -> None:
    def cost(**options: Any) -> float:
        session = again(context)
        with session.stage("test") as stage:
            HiddenStates(session, options.pop("model", folder()), **options).of(texts)
        return stage.cost.get("texts encoded", 0)

    assert cost() == len(texts)
    assert cost() == cost(layers=[2]) == 0, "-1 and 2 are the same layer of two"
    changes: list[dict[str, Any]] = [
        {"layers": [0]},
        {"pooling": "max"},
        {"max_length": 8},
        {"dtype": "bfloat16"},
        {"model": folder("distilbert")},
    ]
    for change in changes:
        assert cost(**change) == len(texts), change
        assert cost(**change) == 0, change


def test_a_killed_run_goes_on_and_ends_the_same(
    tmp_path: Path, folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spaniel_neural.content.SHARD", 8)
    words = ["the", "dog", "runs", "a", "cat", "sleeps", "in", "winter", "on", "river"]
    texts = [f"{one} {two}" for one in words for two in words][:30]
    whole = HiddenStates(Context(tmp_path / "whole", device="cpu"), folder(), LAYERS).of(texts).all()

    calls: list[int] = []
    run = HiddenStates._run

    def counted(self: HiddenStates, some: list[str]) -> NDArray[Any]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(some))
        return run(self, some)

    monkeypatch.setattr(HiddenStates, "_run", counted)
    with pytest.raises(KeyboardInterrupt):
        HiddenStates(Context(tmp_path / "killed", device="cpu"), folder(), LAYERS).of(texts)
    calls.append(0)
    resumed = HiddenStates(Context(tmp_path / "killed", device="cpu"), folder(), LAYERS).of(texts).all()
    assert calls == [8, 8, 0, 8, 6]
    assert np.array_equal(resumed, whole)


def test_damage_is_named(context: Context, folder: Callable[..., Path], texts: list[str]) -> None:
    HiddenStates(context, folder()).of(texts)
    (path,) = context.store.root.glob("artifacts/*/rows/values.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"values\.npy"):
        HiddenStates(again(context), folder()).of(texts)


def test_layers_that_are_not_there(context: Context, folder: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match=r"from 0 \(the embeddings\) to 2"):
        HiddenStates(context, folder(), [3])


def test_any_rows_are_kept_by_content(context: Context) -> None:
    """Pairs and their scores, as rerankers keep them."""
    asked: list[int] = []
    pairs = [("a", "b"), ("a", "c"), ("ab", ""), ("a", "b")]

    def compute(places: NDArray[np.int64]) -> NDArray[np.float32]:
        asked.extend(places)
        return np.array([len(pairs[place][1]) for place in places], np.float32)

    cache = ContentCache(context, "spaniel-neural/test", {}, {"model": "m"}, (), "scores")
    assert cache.rows(content_keys(pairs), compute).all().tolist() == [1, 1, 0, 1]
    assert asked == [0, 1, 2]
    assert len(set(content_keys([("a", "bc"), ("ab", "c"), "abc"]))) == 3
    wrong = ContentCache(context, "spaniel-neural/test", {}, {"model": "m"}, (2,), "scores")
    with pytest.raises(PluginError, match=r"instead of \(2,\)"):
        wrong.rows(content_keys(["new"]), lambda places: np.zeros((1, 3), np.float32))
