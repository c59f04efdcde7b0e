"""How faithful and how stable a map is.

Everywhere a map is ``(positions,)`` from 0 to 1, and ``worth`` gives the probability, or another score from 0 to 1, of the
input times each mask: ``(masks, positions)`` → ``(masks,)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Worth = Callable[[Floats], Floats]
STEPS = 100


def drop_and_increase(worth: Worth, values: Floats) -> tuple[float, float]:
    """Return by what share the probability falls where the input is times the map, and whether it rises (0 or 1).

    Their means over inputs are Average Drop, lower is better, and Average Increase, higher is better (Chattopadhay et al.,
    WACV 2018, section 5.1).
    """
    whole, masked = worth(np.stack([np.ones_like(values), values])).tolist()
    return max(0.0, whole - masked) / max(whole, 1e-12), float(masked > whole)


def increase_over_baseline(worth: Worth, values: Floats, threshold: float = 0.3) -> float:
    """Return the probability of the map's places alone less that of an empty input.

    It is what the authors of CF-CAM measure under the name of average increase.
    """
    alone, empty = worth(np.stack([(values > threshold).astype(float), np.zeros_like(values)])).tolist()
    return float(alone - empty)


def deletion_insertion(worth: Worth, values: Floats, steps: int = STEPS) -> tuple[float, float]:
    """Return the areas under the probability when places go, and when they come, the highest first.

    Lower is better for deletion, higher for insertion (Petsiuk et al., RISE, BMVC 2018, section 4.2). Both ends count;
    there are ``steps`` equal steps, or one for each place where those are fewer. Equal places go in their order.
    """
    places = len(values)
    counts = np.unique(np.round(np.linspace(0, places, min(steps, places) + 1)).astype(np.int64))
    rank = np.empty(places, np.int64)
    rank[np.argsort(-values, kind="stable")] = np.arange(places)
    first = (rank[None, :] < counts[:, None]).astype(float)
    shares = counts / places
    areas = [float(np.trapezoid(worth(masks), shares)) for masks in (1 - first, first)]
    return areas[0], areas[1]


def stability(clean: Floats, noisy: Floats, shape: tuple[int, ...]) -> float:
    """Return how alike two maps are: of images their structural similarity, of texts Spearman's rank correlation.

    SSIM is that of Wang et al. (TIP 2004) over a range of 1, in windows of 7 places or as many as the map has. Two maps of
    which one is flat are alike where both are.
    """
    if len(shape) == 2:
        from skimage.metrics import structural_similarity

        window = min(7, *shape)
        window -= 1 - window % 2
        similar = structural_similarity(clean.reshape(shape), noisy.reshape(shape), data_range=1.0, win_size=window)  # type: ignore[no-untyped-call]
        return float(similar)
    from scipy.stats import spearmanr

    if np.ptp(clean) == 0 or np.ptp(noisy) == 0:
        return float(np.ptp(clean) == np.ptp(noisy))
    return float(spearmanr(clean, noisy).statistic)


def noisy_gradients(gradients: NDArray[Any], share: float, rng: np.random.Generator) -> Floats:
    """Return gradients with Gaussian noise, its deviation a share of theirs."""
    return np.asarray(gradients + rng.normal(0, share * float(gradients.std()), gradients.shape))


def class_sensitivity(first: Floats, second: Floats) -> float:
    """Return 1 less Pearson's correlation of the maps of two classes; 0: the map does not know the class."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return 1 - float(np.corrcoef(first, second)[0, 1])


def pointing(values: Floats, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return whether the map's highest place is inside an object (0 or 1), and the share of the map that is.

    The pointing game is that of Zhang et al. (IJCV 2018, section 4.1), the energy that of Wang et al. (Score-CAM, section 4.3).
    """
    total = float(values.sum())
    return float(inside[int(np.argmax(values))]), float(values[inside].sum()) / total if total else 0.0
