"""The scores themselves: against numpy, closed forms and invariances."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, UsageError
from spaniel.expression import Stage
from spaniel_neural import taps
from spaniel_neural.taps import Weight, noised
from spaniel_training_free_nas.hidden import ActivationDistance, HiddenCovariance, HiddenSaliency
from spaniel_training_free_nas.jacobians import JacobianCovariance, LargeNoiseJacobian, MoreNoisedJacobian
from spaniel_training_free_nas.recipes import SEEDS
from spaniel_training_free_nas.spectral import cosine_score, covariance_score
from spaniel_training_free_nas.synapses import (
    HeadConfidence,
    SoftmaxConfidence,
    SynapticDiversity,
    SynapticSaliency,
)

K = 1e-5
RANDOM = torch.Generator().manual_seed(0)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=RANDOM, dtype=torch.float64)


def _proxy(kind: Any, **options: Any) -> Any:
    return kind(SimpleNamespace(**{"normalise": False, "direction": "maximise", "eps": K, **options}), None)


def test_orthogonal_rows_have_the_closed_form() -> None:
    rows = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0]
    rows = rows - rows.mean(1, keepdims=True)
    centred = np.linalg.qr(rows[:12].T)[0].T  # orthogonal, and each orthogonal to the constant
    expected = -12 * (math.log(1 + K) + 1 / (1 + K))
    assert covariance_score(torch.from_numpy(centred)) == pytest.approx(expected, abs=1e-6)


def test_the_covariance_score_is_numpys() -> None:
    for n, p in ((5, 40), (20, 30), (30, 20)):
        rows = _random(n, p)
        values = np.linalg.eigvalsh(np.corrcoef(rows.numpy())).clip(0)
        expected = -np.sum(np.log(values + K) + 1 / (values + K))
        assert covariance_score(rows) == pytest.approx(expected, rel=1e-6)


def test_a_row_that_others_determine_costs_the_inverse_of_eps() -> None:
    rows = _random(8, 50)
    twice = torch.cat([rows, rows[:1]])
    assert covariance_score(twice) - covariance_score(rows) == pytest.approx(-1e5, rel=2e-3)
    still = torch.cat([rows, torch.full((1, 50), 3.0, dtype=torch.float64)])
    assert covariance_score(still) - covariance_score(rows) == pytest.approx(-1e5, rel=2e-3)


def test_the_covariance_score_does_not_see_scale_shift_sign_and_order() -> None:
    rows = _random(9, 60)
    score = covariance_score(rows)
    scales = torch.tensor([0.1, -3, 7, 1, 2, -0.5, 9, 4, 1e3], dtype=torch.float64)[:, None]
    assert covariance_score(rows * scales + 5) == pytest.approx(score, abs=1e-6)
    assert covariance_score(rows[torch.randperm(9, generator=RANDOM)]) == pytest.approx(score, abs=1e-6)
    assert covariance_score(rows[:, torch.randperm(60, generator=RANDOM)]) == pytest.approx(score, abs=1e-6)


def test_the_cosine_score_is_its_definition() -> None:
    rows = _random(6, 9)
    unit = (rows / rows.norm(dim=1, keepdim=True)).numpy()
    total = sum(abs(unit[i] @ unit[j]) ** (1 / 20) for i in range(6) for j in range(6) if i != j)
    assert cosine_score(rows) == pytest.approx(1 - total / 2 / (36 - 6), abs=1e-12)
    assert cosine_score(torch.eye(5)) == 1
    assert cosine_score(torch.ones(5, 3)) == pytest.approx(0.5)


def test_hidden_covariance_does_not_depend_on_the_order_of_texts() -> None:
    states = _random(5, 7, 6)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[1, 4:] = False
    order = torch.tensor([3, 0, 4, 1, 2])
    proxy = _proxy(HiddenCovariance, layer=1)
    first = proxy.score_taps({taps.HIDDEN: [[states]], taps.MASK: mask})
    assert proxy.score_taps({taps.HIDDEN: [[states[order]]], taps.MASK: mask[order]}) == pytest.approx(first, abs=1e-6)
    spoiled = states.clone()
    spoiled[1, 4:] = 1e6
    assert proxy.score_taps({taps.HIDDEN: [[spoiled]], taps.MASK: mask}) == pytest.approx(first, abs=1e-6)
    assert first == pytest.approx(covariance_score(torch.cat([states[mask]]).T))
    with pytest.raises(UsageError, match="has 1 layers"):
        _proxy(HiddenCovariance, layer=2).score_taps({taps.HIDDEN: [[states]], taps.MASK: mask})


def test_saliency_and_diversity_are_their_definitions() -> None:
    weights = [Weight(str(at), _random(4, 5), _random(4, 5)) for at in range(3)]
    saliency = sum(float((w.value * w.gradient).abs().sum()) for w in weights)
    blocks = [weights[:2], weights[2:]]
    assert _proxy(SynapticSaliency).score_taps({taps.SYNAPSES: blocks}) == pytest.approx(saliency)
    normal = _proxy(SynapticSaliency, normalise=True).score_taps({taps.SYNAPSES: blocks})
    assert normal == pytest.approx(saliency / 3)
    nuclear = sum(np.linalg.svd(w.value.numpy())[1].sum() * np.linalg.svd(w.gradient.numpy())[1].sum() for w in weights)
    assert _proxy(SynapticDiversity).score_taps({taps.OPERATION_WEIGHTS: blocks}) == pytest.approx(nuclear)
    states, gradients = _random(2, 3, 4), _random(2, 3, 4)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    seen = {taps.HIDDEN: [[states]], taps.HIDDEN_GRADIENTS: [[gradients]], taps.MASK: mask}
    expected = float(((states * gradients).abs() * mask[..., None]).sum())
    assert _proxy(HiddenSaliency).score_taps(seen) == pytest.approx(expected)


def test_activation_distance_counts_agreements() -> None:
    layers = [_random(3, 4, 5), _random(3, 4, 2)]
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[2, 2:] = False
    kernel = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for layer in layers:
                both = (mask[i] & mask[j])[:, None]
                kernel[i, j] += int((((layer[i] > 0) == (layer[j] > 0)) & both).sum())
    found = _proxy(ActivationDistance, compat="").score_taps({taps.ACTIVATIONS: [layers], taps.MASK: mask})
    assert found == pytest.approx(np.linalg.slogdet(kernel)[1], abs=1e-9)
    codes = [(layer[0] > 0).numpy().astype(float) for layer in layers]
    total = sum((c @ c.T + (1 - c) @ (1 - c).T).sum() for c in codes)
    reference = _proxy(ActivationDistance, compat="reference")
    assert reference.score_taps({taps.ACTIVATIONS: [layers], taps.MASK: mask}) == pytest.approx(total)
    assert math.isfinite(_proxy(ActivationDistance, compat="").score_taps({taps.ACTIVATIONS: [[]], taps.MASK: mask}))


def test_confidences_are_their_definitions() -> None:
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[1, 2:] = False
    projections = [_random(2, 4, 3), _random(2, 4, 6)]
    expected = 0.0
    for one in projections:
        tops = np.stack([one[0].numpy().max(0), one[1, :2].numpy().max(0)])
        expected += tops.mean()
    seen = {taps.PROJECTIONS: [projections], taps.MASK: mask}
    assert _proxy(HeadConfidence).score_taps(seen) == pytest.approx(expected)
    weights = _random(2, 3, 4, 4).softmax(-1)
    keys = weights.amax(-1)
    expected = float(torch.cat([keys[0].flatten(), keys[1, :, :2].flatten()]).mean())
    seen = {taps.ATTENTION: [[weights], []], taps.MASK: mask}
    assert _proxy(SoftmaxConfidence, compat="").score_taps(seen) == pytest.approx(expected)
    over_heads = float(weights.amax(1).mean())
    assert _proxy(SoftmaxConfidence, compat="reference").score_taps(seen) == pytest.approx(over_heads)
    assert _proxy(SoftmaxConfidence, compat="", normalise=True).score_taps({taps.ATTENTION: [[]], taps.MASK: mask}) == 0


def test_without_noise_the_large_noise_score_is_one(context: Context, texts: Path) -> None:
    options: dict[str, Any] = {
        "data": str(texts),
        "hidden": 8,
        "embedding": 6,
        "vocab_size": 128,
        "batch_size": 3,
        "seq_len": 5,
    }
    options["tokenizer"] = "characters"
    space = context.create("search_space", Stage("rnn-cells", **options))
    for score in ("covariance", "cosine"):
        still = context.create("search_space", Stage("large-noise-jacobian", amplitude=0.0, score=score))
        moved = context.create("search_space", Stage("large-noise-jacobian", amplitude=100.0, score=score))
        assert still.score(space, SEEDS["gru"], 0) == 1
        assert moved.score(space, SEEDS["gru"], 0) < 1


def test_noised_scores_are_made_of_the_plain_ones() -> None:
    seen = {taps.INPUT_GRADIENT: _random(4, 3, 5), **{noised(a): _random(4, 3, 5) for a in (0.1, 10, 100)}}
    scores = {tap: covariance_score(value.flatten(1)) for tap, value in seen.items()}
    large = _proxy(LargeNoiseJacobian, amplitude=10, score="covariance").score_taps(seen)
    assert large == pytest.approx(1 - abs(scores[taps.INPUT_GRADIENT] - scores[noised(10)]))
    more = _proxy(MoreNoisedJacobian, score="covariance").score_taps(seen)
    assert more == pytest.approx(math.prod(scores.values()))
    assert _proxy(JacobianCovariance, of="tokens").score_taps(seen) == pytest.approx(scores[taps.INPUT_GRADIENT])
    positions = _random(32, 6)
    found = _proxy(JacobianCovariance, of="positions").score_taps({taps.POSITION_GRADIENT: positions})
    assert found == pytest.approx(covariance_score(positions.T))
