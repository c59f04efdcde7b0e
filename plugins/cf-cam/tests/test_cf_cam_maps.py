"""Channels, filters, maps and measures, against other libraries, closed forms and planted cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from spaniel_cf_cam.channels import DEAD, DOMINANT, NOISE, sort_channels
from spaniel_cf_cam.config import MapConfig
from spaniel_cf_cam.filters import smooth
from spaniel_cf_cam.maps import cf_cam, grad_cam, grad_cam_pp, hires_cam, layer_cam, scaled
from spaniel_cf_cam.measures import (
    class_sensitivity,
    deletion_insertion,
    drop_and_increase,
    increase_over_baseline,
    noisy_gradients,
    pointing,
    stability,
)

SHAPE = (7, 7)


def _layer(channels: int = 48, places: int = 49, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(size=(channels, places)), 0), rng.normal(size=(channels, places))


def _planted() -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Three groups of near copies, five outliers, and a group of large norm."""
    rng = np.random.default_rng(1)
    made: list[NDArray[Any]] = []
    truth: list[int] = []
    for group in range(3):
        centre = rng.random(49)
        made += [centre + 0.002 * rng.normal(size=49) for _ in range(14)]
        truth += [group] * 14
    made += [2 * rng.random(49) for _ in range(5)]
    truth += [NOISE] * 5
    made += [50 + rng.random(49) for _ in range(16)]
    truth += [DOMINANT] * 16
    return np.stack(made), np.array(truth)


def test_planted_channels_are_found() -> None:
    """Check 5."""
    values, truth = _planted()
    order = np.random.default_rng(2).permutation(len(values))
    for factor, chosen in ((1.0, np.arange(len(values))), (1e-3, np.arange(len(values))), (1.0, order)):
        labels = sort_channels(factor * values[chosen], MapConfig()).labels
        mine = truth[chosen]
        assert (labels[mine == DOMINANT] == DOMINANT).all()
        assert (labels[mine == NOISE] == NOISE).all()
        assert len({int(labels[mine == group][0]) for group in range(3)}) == 3
        for group in range(3):
            assert len(set(labels[mine == group].tolist())) == 1
    facts = sort_channels(values, MapConfig()).facts()
    assert (facts["dominant"], facts["clusters"], facts["noise"], facts["dead"]) == (16, 3, 5, 0)


def test_channels_that_are_never_active_are_left_out() -> None:
    values, truth = _planted()
    more = np.concatenate([np.zeros((60, 49)), values])
    labels = sort_channels(more, MapConfig()).labels
    assert (labels[:60] == DEAD).all()
    assert np.array_equal(labels[60:] == DOMINANT, truth == DOMINANT)
    alike = np.ones((5, 9))
    assert (sort_channels(alike, MapConfig()).labels == DOMINANT).all()  # equal norms all reach their percentile
    assert (sort_channels(np.zeros((5, 9)), MapConfig()).labels == DEAD).all()


def test_with_all_channels_dominant_and_linear_weights_it_is_grad_cam() -> None:
    """Check 2, here against the formula; in the test of images against Captum."""
    values, gradients = _layer()
    config = MapConfig(dominant_percentile=0.0, weighting="linear")
    made = scaled(cf_cam(values, gradients, SHAPE, config).values)
    assert np.abs(made - scaled(grad_cam(values, gradients))).max() < 1e-12


def test_noise_has_no_part() -> None:
    """Check 6."""
    values, _ = _planted()
    gradients = np.random.default_rng(3).normal(size=values.shape)
    channels = sort_channels(values, MapConfig())
    for combine in ("gap", "elementwise"):
        config = MapConfig(combine=combine, weighting="softmax-std")  # type: ignore[arg-type]
        first = cf_cam(values, gradients, SHAPE, config, channels)
        assert (first.weights[channels.labels == NOISE] == 0).all()
        other = gradients.copy()
        other[channels.labels == NOISE] += 100
        changed = values.copy()
        changed[channels.labels == NOISE] *= 1.01
        assert np.array_equal(first.values, cf_cam(values, other, SHAPE, config, channels).values)
        assert np.allclose(first.values, cf_cam(changed, gradients, SHAPE, config, channels).values)
        kept = config.model_copy(update={"keep_noise": True})
        assert not np.allclose(
            cf_cam(values, gradients, SHAPE, kept, channels).values, cf_cam(values, other, SHAPE, kept, channels).values
        )


def test_weights_are_a_softmax_over_what_counts() -> None:
    values, _ = _planted()
    gradients = np.random.default_rng(4).normal(size=values.shape)
    made = cf_cam(values, gradients, SHAPE, MapConfig(filter="none"))
    labels = made.channels.labels
    means = gradients.mean(axis=1)
    for cluster in range(3):
        means[labels == cluster] = gradients[labels == cluster].mean()
    counts = labels != NOISE
    expected = np.where(counts, np.exp(means), 0)
    assert np.abs(made.weights - expected / expected.sum()).max() < 1e-12
    assert np.abs(made.values - made.weights @ values).max() < 1e-9


def test_the_gaussian_is_scipys_and_keeps_mass() -> None:
    """Check 3: in gap mode a filter that keeps mass changes nothing; reflected edges keep it."""
    gradients = np.random.default_rng(5).normal(size=(6, 49))
    made = smooth(gradients, SHAPE, "gaussian", 1.3, 0.1)
    for one, given in zip(made, gradients, strict=True):
        expected = gaussian_filter(given.reshape(SHAPE), 1.3, mode="reflect", truncate=3.0).reshape(-1)
        assert np.abs(one - expected).max() < 1e-12
    assert np.abs(made.mean(axis=1) - gradients.mean(axis=1)).max() < 1e-12
    values, other = _layer()
    for weighting in ("softmax", "linear"):
        maps = [
            cf_cam(values, other, SHAPE, MapConfig(filter=how, weighting=weighting)).values  # type: ignore[arg-type]
            for how in ("gaussian", "none", "bilateral")
        ]
        assert np.abs(maps[0] - maps[1]).max() < 1e-9
    assert np.abs(maps[2] - maps[1]).max() > 1e-4
    for how in ("gaussian", "bilateral"):
        flat = np.full((2, 49), 0.7)
        assert np.abs(smooth(flat, SHAPE, how, 1.0, 0.1) - flat).max() < 1e-12
        elementwise = [
            cf_cam(values, other, SHAPE, MapConfig(filter=one, combine="elementwise")).values  # type: ignore[arg-type]
            for one in (how, "none")
        ]
        assert np.abs(elementwise[0] - elementwise[1]).max() > 1e-6


def test_the_bilateral_filter_by_its_definition() -> None:
    rng = np.random.default_rng(6)
    for shape in ((9,), (4, 5)):
        values = rng.normal(size=shape)
        made = smooth(values.reshape(1, -1), shape, "bilateral", 0.8, 0.3).reshape(shape)
        reach, spread = int(3 * 0.8 + 0.5), 0.3 * np.ptp(values)
        padded = np.pad(values, reach, mode="symmetric")
        for place in np.ndindex(*shape):
            total = weight = 0.0
            for shift in np.ndindex(*(2 * reach + 1,) * len(shape)):
                other = padded[tuple(at + s for at, s in zip(place, shift, strict=True))]
                distance = sum((s - reach) ** 2 for s in shift)
                w = np.exp(-distance / (2 * 0.8**2)) * np.exp(-((other - values[place]) ** 2) / (2 * spread**2))
                total, weight = total + w * other, weight + w
            assert abs(made[place] - total / weight) < 1e-12


def test_segments_keep_to_themselves() -> None:
    """What is beside a text changes nothing in it."""
    values, gradients = _layer(40, 12)
    segments = np.array([0] * 5 + [1] * 7)
    config = MapConfig(combine="elementwise", dominant_percentile=90.0, min_samples=0.0)
    channels = sort_channels(values, config)
    whole = cf_cam(values, gradients, (12,), config, channels, segments)
    other = gradients.copy()
    other[:, :5] -= other[:, :5].mean(axis=1, keepdims=True)  # same means need not be: weights are held fixed
    labels = channels.labels
    means = np.stack([gradients[labels == c].mean(axis=0) for c in range(channels.clusters)])
    alone = smooth(means[:, 5:], (7,), "gaussian", 1.0, 0.1)
    filtered = np.where((labels == DOMINANT)[:, None], gradients, 0)[:, 5:]
    filtered[labels >= 0] = alone[labels[labels >= 0]]
    expected = whole.weights @ (np.maximum(filtered, 0) * values[:, 5:])
    assert np.abs(whole.values[5:] - expected).max() < 1e-12


def test_small_gradients_tell_no_classes_apart_by_softmax() -> None:
    """Check 4: nearly equal weights make nearly one map of two classes; standardised or linear ones do not."""
    rng = np.random.default_rng(7)
    values = np.maximum(rng.normal(size=(64, 49)), 0)
    one, two = (0.02 * rng.normal(size=(64, 1)) + 0.005 * rng.normal(size=(64, 49)) for _ in range(2))
    apart = {}
    for weighting in ("softmax", "softmax-std", "linear"):
        config = MapConfig(weighting=weighting)  # type: ignore[arg-type]
        first, second = (scaled(cf_cam(values, given, SHAPE, config).values) for given in (one, two))
        apart[weighting] = class_sensitivity(first, second)
    assert apart["softmax"] < 0.05
    assert min(apart["softmax-std"], apart["linear"]) > apart["softmax"] + 0.1


def test_other_maps_by_their_formulas() -> None:
    values, gradients = _layer(5, 6)
    loops = np.zeros((4, 6))
    for channel in range(5):
        total = values[channel].sum()
        weight = 0.0
        for place in range(6):
            g, a = gradients[channel, place], values[channel, place]
            below = 2 * g**2 + total * g**3
            weight += (g**2 / below if below else 0.0) * max(g, 0.0)
            loops[1, place] += g * a
            loops[2, place] += max(g, 0.0) * a
        loops[0] += gradients[channel].mean() * values[channel]
        loops[3] += weight * values[channel]
    for made, expected in zip((grad_cam, hires_cam, layer_cam, grad_cam_pp), loops, strict=True):
        assert np.abs(made(values, gradients) - expected).max() < 1e-10
    assert scaled(np.array([-2.0, 1.0, 4.0])).tolist() == [0.0, 0.25, 1.0]
    assert scaled(np.array([-4.0, 1.0]), relu=False).tolist() == [-1.0, 0.25]
    assert scaled(np.array([-1.0, -2.0])).tolist() == [0.0, 0.0]


def test_areas_of_a_linear_score() -> None:
    """Check 8: of the perfect order the areas have a closed form; others lie between it and the reverse."""
    weights = np.array([8.0, 4.0, 2.0, 1.0, 1.0])
    weights /= weights.sum()

    def worth(masks: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(masks @ weights)

    insertion = float(np.trapezoid(np.concatenate([[0], np.cumsum(weights)]), np.linspace(0, 1, 6)))
    best = deletion_insertion(worth, weights)
    assert best == pytest.approx((1 - insertion, insertion))
    worst = deletion_insertion(worth, -weights)
    middle = np.mean([deletion_insertion(worth, np.random.default_rng(s).random(5)) for s in range(200)], axis=0)
    assert best[0] < middle[0] < worst[0]
    assert best[1] > middle[1] > worst[1]
    assert worst == pytest.approx((insertion, 1 - insertion))
    assert deletion_insertion(lambda masks: np.full(len(masks), 0.37), weights) == pytest.approx((0.37, 0.37))
    assert drop_and_increase(worth, weights / weights.max()) == pytest.approx(
        (1 - (weights / weights.max()) @ weights, 0)
    )
    assert drop_and_increase(lambda masks: 2 - masks.mean(axis=1), weights)[1] == 1.0
    assert increase_over_baseline(worth, np.array([1, 0.31, 0.3, 0, 0])) == pytest.approx(weights[:2].sum())


def test_alike_and_unlike_maps() -> None:
    rng = np.random.default_rng(8)
    values = rng.random(49)
    assert stability(values, values, SHAPE) == pytest.approx(1)
    assert stability(values, rng.random(49), SHAPE) < 0.5
    assert stability(values, values**3, (49,)) == pytest.approx(1)  # ranks
    assert stability(values, 1 - values, (49,)) == pytest.approx(-1)
    assert stability(np.zeros(49), np.zeros(49), (49,)) == 1
    assert stability(np.zeros(49), values, (49,)) == 0
    gradients = rng.normal(0, 3, (40, 49))
    assert (noisy_gradients(gradients, 0.5, rng) - gradients).std() == pytest.approx(1.5, rel=0.1)
    inside = np.zeros(49, bool)
    inside[10] = True
    spot = np.zeros(49)
    spot[10], spot[11] = 3.0, 1.0
    assert pointing(spot, inside) == (1.0, 0.75)
