"""What is captured, beside what autograd and the model itself say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import UsageError
from spaniel_neural.batching import make_batch, tokenize
from spaniel_neural.capture import capture, eager_attention
from spaniel_neural.loading import Transformer
from spaniel_neural.testing import TinyConvNet
from spaniel_neural.walking import walk, walk_convolutions
from torch import nn

FAMILIES = [
    ("bert", "masked-lm"),
    ("roberta", "encoder"),
    ("distilbert", "sequence-classification"),
    ("t5", "encoder"),
    ("t5", "seq2seq"),
    ("bart", "seq2seq"),
    ("llama", "causal-lm"),
]


def inputs(transformer: Transformer, texts: list[str], task: str) -> dict[str, Any]:
    filled = [text for text in texts if text]
    tokens = tokenize(transformer.tokenizer, filled)
    made: dict[str, Any] = make_batch(transformer, tokens, np.arange(len(filled))).inputs
    if task == "seq2seq":
        made["decoder_input_ids"] = made["input_ids"]
    if task in ("seq2seq", "causal-lm"):
        made["use_cache"] = False
    return made


def hooks(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_blocks_and_attention(loaded: Callable[..., Transformer], texts: list[str], family: str, task: str) -> None:
    transformer = loaded(family, task)
    model = transformer.model
    given = inputs(transformer, texts, task)
    blocks = walk(model).blocks
    attentions = [part for block in blocks for part in (block.attention, block.cross) if part]
    before, hooked = model(**given), hooks(model)
    with capture(model, [*blocks, *attentions], attention=True) as taps:
        model(**given)
    assert hooks(model) == hooked
    after = model(**given)
    assert all(torch.equal(after[name], before[name]) for name in before if isinstance(before[name], torch.Tensor))
    with eager_attention(model):
        own = model(**given, output_hidden_states=True, output_attentions=True)
        replayed = {block.name: taps[block.name].replay() for block in blocks}
    for kind in ("encoder", "decoder"):
        states = own.get(f"{kind}_hidden_states", own.get("hidden_states"))
        weights = own.get(f"{kind}_attentions", own.get("attentions"))
        for block in walk(model).stack(kind):
            tap = taps[block.name]
            if block.index + 2 < len(states):  # the last may be normalised after it
                assert torch.equal(tap.output, states[block.index + 1])
            assert torch.equal(taps[block.attention.name].attention, weights[block.index])
            if block.cross is not None:
                assert torch.equal(taps[block.cross.name].attention, own.cross_attentions[block.index])
            again = replayed[block.name]
            assert torch.equal(again[0] if isinstance(again, tuple) else again, tap.output)


@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_gradients_are_those_of_autograd(
    loaded: Callable[..., Transformer], texts: list[str], family: str, task: str
) -> None:
    transformer = loaded(family, task)
    model = transformer.model
    given = inputs(transformer, texts, task)
    anatomy = walk(model)
    block = anatomy.blocks[0]
    with capture(model, [block, block.attention], gradients=True, attention=True) as taps:
        scores = next(iter(model(**given).values()))
    target = (scores * torch.linspace(-1, 1, scores.numel()).reshape(scores.shape)).sum()
    tap, attention = taps[block.name], taps[block.attention.name]
    expected = torch.autograd.grad(target, [tap.output, attention.attention], retain_graph=True)
    for call in (tap.call, attention.call):
        call.gradients.clear()  # autograd.grad went through the same hooks
    with pytest.raises(UsageError, match="call backward"):
        tap.gradient  # noqa: B018
    target.backward()
    assert torch.allclose(tap.gradient, expected[0])
    assert torch.allclose(attention.attention_gradient, expected[1])
    assert tap.gradient.abs().max() > 0


def test_gradients_agree_with_differences(loaded: Callable[..., Transformer]) -> None:
    transformer = loaded("bert", "sequence-classification")
    model = transformer.model.double()
    given = transformer.tokenizer("the dog runs", return_tensors="pt")
    block = walk(model).blocks[1]
    with capture(model, [block.name], gradients=True) as taps:
        model(**given).logits[0, 0].backward()
    tap = taps[block.name]
    step = torch.zeros_like(tap.output)
    step[0, 0, 3] = 1e-5

    def score(change: torch.Tensor) -> float:
        handle = block.module.register_forward_hook(lambda module, arguments, output: output + change)
        try:
            return float(model(**given).logits[0, 0].detach())
        finally:
            handle.remove()

    difference = (score(step) - score(-step)) / 2e-5
    assert float(tap.gradient[0, 0, 3]) == pytest.approx(difference, abs=1e-7)


def test_frozen_weights_have_gradients_too(loaded: Callable[..., Transformer]) -> None:
    transformer = loaded()
    model = transformer.model.requires_grad_(False)
    given = transformer.tokenizer("the dog runs", return_tensors="pt")
    with capture(model, ["encoder.layer.0"], gradients=True) as taps:
        model(**given).last_hidden_state[0, 0, 0].backward()
    assert taps["encoder.layer.0"].gradient.abs().max() > 0


def test_hooks_are_removed_after_errors(loaded: Callable[..., Transformer]) -> None:
    transformer = loaded()
    model = transformer.model
    before = model.config._attn_implementation
    with pytest.raises(IndexError), capture(model, ["encoder.layer.1"], attention=True):  # noqa: PT012
        assert hooks(model) == 1
        model(input_ids=torch.tensor([[10**6]]))
    assert hooks(model) == 0
    assert model.config._attn_implementation == before
    with (
        pytest.raises(UsageError, match=r"near are encoder\.layer\.1"),
        capture(model, ["embeddings", "encoder.layer.l"]),
    ):
        pass
    assert hooks(model) == 0
    with pytest.raises(UsageError, match="no_grad"), capture(model, ["pooler"], gradients=True), torch.no_grad():
        model(input_ids=torch.tensor([[1]]))
    assert hooks(model) == 0


def test_layers_that_work_in_place_are_found_or_given_copies() -> None:
    model = TinyConvNet()
    images = torch.randn(2, 1, 8, 8)
    last = walk_convolutions(model).last
    with capture(model, [last], gradients=True) as taps:
        model(images).sum().backward()
    with pytest.raises(UsageError, match="copy=True"):
        taps[last.name].output  # noqa: B018
    with capture(model, [last], gradients=True, copy=True) as taps:
        model(images)[:, 0].sum().backward()
    maps = taps[last.name].output
    assert torch.equal(maps, last.module(model.features[:5](images)))
    # The classifier is linear in the rectified maps' means, so that the gradient has a closed form.
    expected = model.classifier.weight[0][None, :, None, None] / 64 * (maps > 0)
    assert torch.allclose(taps[last.name].gradient, expected)


def test_several_runs_are_told_apart(loaded: Callable[..., Transformer]) -> None:
    model = loaded().model
    with capture(model, ["pooler"]) as taps:
        with pytest.raises(UsageError, match="did not run"):
            taps["pooler"].output  # noqa: B018
        for number in (3, 4):
            model(input_ids=torch.tensor([[number]]))
    assert len(taps["pooler"]) == 2
    with pytest.raises(UsageError, match="ran 2 times"):
        taps["pooler"].output  # noqa: B018
    assert not torch.equal(taps["pooler"][0].output, taps["pooler"][1].output)
    taps["pooler"].clear()
    assert len(taps["pooler"]) == 0


def test_replay_takes_other_hidden_states_and_refuses_caches(loaded: Callable[..., Transformer]) -> None:
    transformer = loaded("llama", "causal-lm")
    model = transformer.model
    ids = transformer.tokenizer("the dog runs", return_tensors="pt")["input_ids"]
    blocks = walk(model).blocks
    with torch.no_grad():
        with capture(model, blocks) as taps:
            logits = model(input_ids=ids, use_cache=False).logits
        through = taps[blocks[0].name].replay(taps[blocks[0].name].call.arguments[0])
        through = taps[blocks[1].name].replay(through)
        assert torch.equal(model.lm_head(model.model.norm(through)), logits)
        with capture(model, blocks) as taps:
            model(input_ids=ids, use_cache=True)
        with pytest.raises(UsageError, match="use_cache=False"):
            taps[blocks[0].name].replay()


def test_what_has_no_attention() -> None:
    with pytest.raises(UsageError, match="no model of transformers"), capture(TinyConvNet(), [], attention=True):
        pass
    model = TinyConvNet()
    with capture(model, ["classifier"]) as taps:
        model(torch.zeros(1, 1, 4, 4))
    with pytest.raises(UsageError, match="no attention weights"):
        taps["classifier"].attention  # noqa: B018
    with pytest.raises(UsageError, match="is no layer of this"), capture(model, [nn.Linear(1, 1)]):
        pass
