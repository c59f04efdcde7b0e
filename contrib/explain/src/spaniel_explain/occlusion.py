"""How much a score falls when a part is left out."""

from __future__ import annotations

import numpy as np

from spaniel_explain.altering import Altering, Worth
from spaniel_explain.scoring import Scores


class Occlusion(Altering):
    """A part's contribution is the score minus the score of the text without it (Li et al., 2016).

    Parts act together, so these differences do not add up; what they leave is the remainder. ``parts + 1`` scores.
    """

    name = "occlusion"

    def values(self, worth: Worth, parts: int, name: str) -> tuple[Scores, Scores, list[str]]:
        """Return the differences."""
        masks = np.concatenate([np.ones((1, parts), bool), ~np.eye(parts, dtype=bool)])
        scores = worth(masks)
        single = scores.shape[1] == 1
        notes = [f"without it {score:.4f}" if single else "" for score in scores[1:, 0]]
        return scores[0] - scores[1:], np.zeros(scores.shape[1]), notes
