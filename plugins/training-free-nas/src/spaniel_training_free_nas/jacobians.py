"""Proxies over gradients in the embedded tokens, with and without noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spaniel_neural.tapping import TapScore
from spaniel_neural.taps import INPUT_GRADIENT, POSITION_GRADIENT, noised
from torch import Tensor

from spaniel_training_free_nas.spectral import cosine_score, covariance_score

_SMALL, _LARGE, _VERY_LARGE = 0.1, 10.0, 100.0


def _score(jacobian: Tensor, name: str, eps: float) -> float:
    rows = jacobian.flatten(1)
    return covariance_score(rows, eps) if name == "covariance" else cosine_score(rows)


class _Jacobian(TapScore):
    """A score of the gradients in tokens, a row a text, or in positions, a row a feature."""

    name = ""

    @property
    def taps(self) -> Sequence[str]:  # type: ignore[override]
        """The gradient that is looked at."""
        return (INPUT_GRADIENT,) if self.config.of == "tokens" else (POSITION_GRADIENT,)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the score."""
        rows = seen[INPUT_GRADIENT] if self.config.of == "tokens" else seen[POSITION_GRADIENT].T
        return _score(rows, self.name, self.config.eps)


class JacobianCovariance(_Jacobian):
    """How uncorrelated the gradients in the inputs are (Mellor et al. 2020)."""

    name = "covariance"


class JacobianCosine(_Jacobian):
    """How unlike in direction the gradients in the inputs are (Celotti et al. 2020)."""

    name = "cosine"


class LargeNoiseJacobian(TapScore):
    """``1 - |S(J) - S(J noised)|``: how little noise in the inputs changes the score (Celotti et al. 2020)."""

    @property
    def taps(self) -> Sequence[str]:  # type: ignore[override]
        """The gradient, and the one under noise."""
        return (INPUT_GRADIENT, noised(self.config.amplitude))

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the score: 1 without noise."""
        plain, moved = (_score(seen[tap], self.config.score, self.config.eps) for tap in self.taps)
        return 1 - abs(plain - moved)


class MoreNoisedJacobian(TapScore):
    """The product of the scores without noise and under small, large and very large noise (Celotti et al. 2020)."""

    taps = (INPUT_GRADIENT, noised(_SMALL), noised(_LARGE), noised(_VERY_LARGE))

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the product."""
        product = 1.0
        for tap in self.taps:
            product *= _score(seen[tap], self.config.score, self.config.eps)
        return product
