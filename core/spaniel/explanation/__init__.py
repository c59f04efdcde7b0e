"""Explanations: contributions that add up to a score, or name what they leave unexplained."""

from __future__ import annotations

from spaniel.explanation.contrast import Contrast
from spaniel.explanation.contribution import Contribution, Place, Side, Spot
from spaniel.explanation.explanation import TOLERANCE, Explanation

__all__ = ["TOLERANCE", "Contrast", "Contribution", "Explanation", "Place", "Side", "Spot"]
