"""The models that candidates are built to, and what taps show of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from spaniel import Context, UsageError
from spaniel.expression import Stage
from spaniel_neural import taps
from spaniel_neural.taps import flat, noised, see
from spaniel_training_free_nas.operations import DynamicConvolution, Transform, dct
from spaniel_training_free_nas.recipes import SEEDS
from spaniel_training_free_nas.recurrent import Recurrent, entering_states, fresh_recurrent
from torch import Tensor, nn

SMALL: dict[str, Any] = {
    "hidden": [32, 64],
    "layers": [1, 2],
    "ff_dim": [48, 64],
    "embedding": 24,
    "vocab_size": 500,
    "positions": 32,
    "batch_size": 4,
    "seq_len": 16,
    "build": "declared",
}


def _space(context: Context, **options: Any) -> Any:
    return context.create("search_space", Stage("flexibert", **{**SMALL, **options}))


def _block(op: str, num_ff: int = 1) -> dict[str, Any]:
    return {"op": op, "heads": 2, "ff": 48, "num_ff": num_ff}


def _batch(texts: int = 3, tokens: int = 9, padded: int = 0) -> tuple[Tensor, Tensor]:
    ids = torch.randint(5, 500, (texts, tokens), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(texts, tokens, dtype=torch.bool)
    if padded:
        mask[0, -padded:] = False
        ids[0, -padded:] = 0
    return ids, mask


@pytest.mark.parametrize("build", ["as-trained", "declared-operations", "declared"])
@pytest.mark.parametrize("compat", ["", "reference"])
def test_counts_are_those_of_the_model(context: Context, build: str, compat: str) -> None:
    space = _space(context, build=build, compat=compat)
    rng = np.random.default_rng(0)
    for _ in range(20):
        candidate = space.sample(rng)
        model = space.build(candidate, 0)
        counts = space.counts(candidate)
        assert counts["parameters"] == sum(one.numel() for one in model.parameters())
        assert counts["parameters without embeddings"] == sum(one.numel() for one in model.blocks.parameters())


def test_candidates_that_are_built_alike_have_one_form(context: Context) -> None:
    space = _space(context, build="as-trained")
    first = {"hidden": 32, "layers": [{**_block("DFT"), "ff": 64}]}
    second = {"hidden": 32, "layers": [_block("WMA")]}
    assert space.canonical(first) == space.canonical(second)
    models = [space.build(one, 0) for one in (first, second)]
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)
    declared = _space(context, build="declared")
    assert declared.canonical(first) != declared.canonical(second)


def test_fresh_weights_depend_on_the_seed_alone(context: Context) -> None:
    space = _space(context)
    candidate = {"hidden": 32, "layers": [_block("DSC5", 3)]}
    first = space.build(candidate, 3)
    torch.manual_seed(9)
    torch.rand(5)
    state = torch.get_rng_state()
    second, other = space.build(candidate, 3), space.build(candidate, 4)
    assert torch.equal(state, torch.get_rng_state())
    for name, one in first.state_dict().items():
        assert torch.equal(one, second.state_dict()[name])
    weights = torch.cat(
        [one.flatten() for name, one in first.named_parameters() if one.ndim > 1 and "bias" not in name]
    )
    assert abs(float(weights.detach().std()) - 0.02) < 5e-4
    assert not torch.equal(first.embeddings.words.weight, other.embeddings.words.weight)


def test_the_cosine_transform_is_scipys() -> None:
    x = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    found = dct(dct(x).transpose(-1, -2)).transpose(-1, -2)
    np.testing.assert_allclose(found.numpy(), dctn(x.numpy(), 2, axes=(-2, -1)), atol=1e-10)


def test_transforms_are_over_positions_and_features_of_a_head() -> None:
    transform = Transform(8, 2, cosine=False)
    x, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    with torch.no_grad():
        found, linear = transform(x, mask).numpy(), transform.input(x).numpy()
    for head in (slice(0, 4), slice(4, 8)):
        expected = np.fft.fft2(linear[..., head]).real
        np.testing.assert_allclose(found[..., head], expected, atol=1e-4)


def test_dynamic_convolution_is_a_weighted_window_of_each_token() -> None:
    torch.manual_seed(0)
    layer = DynamicConvolution(8, 4, 5, dropout=0.0).eval()
    x, mask = torch.randn(2, 6, 8), torch.ones(2, 6, dtype=torch.bool)
    with torch.no_grad():
        found = layer(x, mask)
        query = layer.attention.query(x)
        key = layer.pointwise(layer.depthwise(x.transpose(1, 2))).transpose(1, 2)
        kernels = layer.kernels(key * query).view(2, 6, 2, 5).softmax(-1)
        source = layer.source(x)
        expected = torch.zeros(2, 6, 4)
        for token in range(6):
            for step in range(5):
                at = token + step - 2
                if 0 <= at < 6:
                    for head in range(2):
                        part = slice(2 * head, 2 * head + 2)
                        expected[:, token, part] += kernels[:, token, head, step, None] * source[:, at, part]
    torch.testing.assert_close(found[..., 4:], expected, atol=1e-6, rtol=1e-5)


def test_attention_is_torchs(context: Context) -> None:
    space = _space(context)
    block = space.build({"hidden": 32, "layers": [_block("SDP")]}, 0).blocks[0].operation
    x = torch.randn(2, 7, 32)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    q, k, v = (one(x).view(2, 7, 2, 16).transpose(1, 2) for one in (block.query, block.key, block.value))
    expected = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
    torch.testing.assert_close(block(x, mask), expected.transpose(1, 2).flatten(-2), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("op", ["SDP", "WMA", "DSC5", "DSC9"])
def test_what_is_padding_changes_nothing(context: Context, op: str) -> None:
    space = _space(context)
    model = space.build({"hidden": 32, "layers": [_block(op), _block(op, 3)]}, 0)
    ids, mask = _batch(padded=4)
    whole = see(model, ids, mask, [taps.OUTPUT], 0)[taps.OUTPUT][0, :5]
    alone = see(model, ids[:1, :5], mask[:1, :5], [taps.OUTPUT], 0)[taps.OUTPUT][0]
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-4)


def test_gradients_are_those_of_finite_differences(context: Context) -> None:
    space = _space(context)
    model = space.build({"hidden": 32, "layers": [_block("DSC5"), _block("SDP", 3)]}, 0).double()
    ids, mask = _batch(padded=3)
    wanted = [
        taps.SYNAPSES,
        taps.PROJECTION_WEIGHTS,
        taps.OPERATION_WEIGHTS,
        taps.INPUT_GRADIENT,
        taps.POSITION_GRADIENT,
    ]
    seen = see(model, ids, mask, wanted, 5)
    output = see(model, ids, mask, [taps.OUTPUT], 5)[taps.OUTPUT]
    signs = torch.randint(0, 2, output.shape, generator=torch.Generator().manual_seed(5)).double() * 2 - 1

    def value() -> float:
        with torch.no_grad():
            made = model(model.embed(ids), mask)
        return float((made * signs * mask[..., None]).sum())

    places = dict(model.named_parameters())
    for tap in (taps.SYNAPSES, taps.PROJECTION_WEIGHTS, taps.OPERATION_WEIGHTS):
        for weight in flat(seen[tap]):
            _check_difference(places[f"{weight.name}.weight"], weight.gradient, value)
    _check_difference(model.positions.weight, seen[taps.POSITION_GRADIENT], value, at=(2, 3))


def _check_difference(parameter: Tensor, gradient: Tensor, value: Any, at: tuple[int, int] = (1, 2)) -> None:
    step = 1e-5
    with torch.no_grad():
        parameter[at] += step
        above = value()
        parameter[at] -= 2 * step
        below = value()
        parameter[at] += step
    assert float(gradient[at]) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-6)


def test_one_pass_shows_what_passes_of_their_own_show(context: Context, texts: Path) -> None:
    space = _space(context, data=str(texts))
    candidate = {"hidden": 32, "layers": [_block("SDP", 3), _block("DFT")]}
    every = [*sorted(space.taps), noised(10)]
    together = space.forward(candidate, 2, every)
    assert list(together) == every
    for tap in every:
        alone = space.forward(candidate, 2, [tap])[tap]
        for a, b in zip(_tensors(alone), _tensors(together[tap]), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [one for part in value for one in _tensors(part)] if isinstance(value, list | tuple) else []


def test_a_normalised_sum_has_no_gradient(context: Context) -> None:
    """The reason for random signs: behind a normalisation the published gradients are rounding errors."""
    space = _space(context)
    model = space.build({"hidden": 32, "layers": [_block("SDP"), _block("SDP")]}, 0)
    ids, mask = _batch()

    def size(readout: Any) -> float:
        weights = flat(see(model, ids, mask, [taps.SYNAPSES], 0, readout=readout)[taps.SYNAPSES])
        return math.sqrt(sum(float(weight.gradient.square().sum()) for weight in weights))

    assert size("sum") < 1e-4 * size("signs")


def test_dropout_is_on_where_it_is_asked_for_and_seeded(context: Context) -> None:
    space = _space(context)
    model = space.build({"hidden": 32, "layers": [_block("SDP")]}, 0)
    ids, mask = _batch()
    made = [see(model, ids, mask, [taps.OUTPUT], seed, train_mode=True)[taps.OUTPUT] for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert not model.training


def test_a_tap_that_is_not_there_is_named(context: Context) -> None:
    space = context.create(
        "search_space", Stage("rnn-cells", hidden=8, embedding=8, vocab_size=50, batch_size=2, seq_len=4)
    )
    with pytest.raises(UsageError, match="does not show 'attention'"):
        context.create("search_space", "softmax-confidence").score(space, SEEDS["gru"], 0)


def _pair(name: str) -> tuple[Recurrent, nn.RNNBase]:
    """Make a network of one of the classic cells, and torch's own with the same weights."""
    ours = fresh_recurrent(SEEDS[name], 1, 20, 5, 6, seed=0)
    made = ours.cells[0].made
    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
    theirs = kinds[name](5, 6, batch_first=True)
    gates = {"rnn": ["i"], "gru": ["r_in", "z_in"], "lstm": ["i_in", "f_in", "g_in", "o_in"]}[name]
    with torch.no_grad():
        inputs = [made[gate].weight[:, :5] for gate in gates]
        states = [made[gate].weight[:, 5:] for gate in gates]
        first = [made[gate].bias for gate in gates]
        second = [torch.zeros(6) for _ in gates]
        if name == "gru":
            inputs, states = [*inputs, made["g_x"].weight], [*states, made["reset"].weight]
            first, second = [*first, made["g_x"].bias], [*second, made["reset"].bias]
        theirs.weight_ih_l0.copy_(torch.cat(inputs))
        theirs.weight_hh_l0.copy_(torch.cat(states))
        theirs.bias_ih_l0.copy_(torch.cat(first))
        theirs.bias_hh_l0.copy_(torch.cat(second))
    return ours, theirs


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_classic_cells_are_torchs_and_states_are_those_that_enter(name: str) -> None:
    ours, theirs = _pair(name)
    ids = torch.randint(0, 20, (4, 7))
    mask = torch.ones(4, 7, dtype=torch.bool)
    seen = see(ours, ids, mask, [taps.OUTPUT, taps.HIDDEN], 0, readout="sum")
    with torch.no_grad():
        embedded = ours.embed(ids)
        torch.testing.assert_close(seen[taps.OUTPUT], theirs(embedded)[0], atol=1e-5, rtol=1e-4)
        (states,) = flat(seen[taps.HIDDEN])
        assert states.shape == (4, 7, 6)
        torch.testing.assert_close(states, entering_states(theirs, embedded), atol=1e-5, rtol=1e-4)
    # Causality: what enters a step does not depend on the token read there, or on later ones.
    ids[:, 4] = (ids[:, 4] + 1) % 20
    (changed,) = flat(see(ours, ids, mask, [taps.HIDDEN], 0)[taps.HIDDEN])
    assert torch.equal(changed[:, :5], states[:, :5])
    assert not torch.equal(changed[:, 5], states[:, 5])


def test_gradients_of_recurrent_networks_are_autograds() -> None:
    network = fresh_recurrent(SEEDS["lstm"], 2, 20, 5, 6, seed=1)
    ids, mask = torch.randint(0, 20, (3, 5)), torch.ones(3, 5, dtype=torch.bool)
    wanted = [taps.SYNAPSES, taps.INPUT_GRADIENT, taps.HIDDEN, taps.HIDDEN_GRADIENTS, taps.ACTIVATIONS]
    seen = see(network, ids, mask, wanted, 0, readout="sum")
    network.zero_grad()
    embedded = network.embed(ids).detach().requires_grad_()
    output = network(embedded, mask)
    output.backward(output.detach(), retain_graph=True)
    parameters = dict(network.named_parameters())
    for weight in flat(seen[taps.SYNAPSES]):
        torch.testing.assert_close(weight.gradient, parameters[f"{weight.name}.weight"].grad)
    embedded.grad = None
    output.sum().backward()
    torch.testing.assert_close(seen[taps.INPUT_GRADIENT], embedded.grad)
    assert [one.shape for one in flat(seen[taps.HIDDEN_GRADIENTS])] == [(3, 5, 6)] * 2
    assert all(one.shape == (3, 5, 6) for one in flat(seen[taps.ACTIVATIONS]))
