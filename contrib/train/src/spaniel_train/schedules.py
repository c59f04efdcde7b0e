"""Learning rates and weights of objectives, as functions of the optimizer step."""

from __future__ import annotations

import math

from spaniel_train.recipe import Ramp, Rate


def rate_at(rate: Rate, step: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step, counted from 0, of so many.

    It rises in a straight line over the warm-up, so that the first step after it has the peak, and falls to ``floor``,
    which it would reach one step after the last.
    """
    warm = rate.warmup if isinstance(rate.warmup, int) else round(rate.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    past = min(1.0, (step - warm) / max(1, steps - warm))
    if rate.shape == "constant":
        return 1.0
    left = 1 - past if rate.shape == "linear" else 0.5 * (1 + math.cos(math.pi * past))
    return rate.floor + (1 - rate.floor) * left


def weight_at(weight: float | Ramp, step: int) -> float:
    """Return the weight of an objective at a step, counted from 0.

    A ramp has ``start`` up to step ``after``, and ``end`` from ``steps`` steps later on; in between it goes in a straight
    line, by the square as SPLADE's regularisation does (Formal et al., 2021, section 4.1), or by a half cosine.
    """
    if not isinstance(weight, Ramp):
        return weight
    past = min(1.0, max(0.0, (step - weight.after) / weight.steps))
    shaped = {"linear": past, "quadratic": past * past, "cosine": 0.5 * (1 - math.cos(math.pi * past))}[weight.shape]
    return weight.start + (weight.end - weight.start) * shaped
