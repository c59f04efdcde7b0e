"""Token attributions → contributions of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution

from spaniel_explain.reading import Spot
from spaniel_explain.texts import label, words


def pooled(
    text: str, side: str, spots: Sequence[Spot | None], values: NDArray[np.float64], pieces: str
) -> list[Contribution]:
    """Return one contribution a word, the sum of its tokens', or one a token with ``pieces="token"``.

    Tokens without a place in the text (special ones, prompts, the other text) are left out; so are words that the model
    did not read.
    """
    here = [number for number, spot in enumerate(spots) if spot is not None and spot.side == side]
    if pieces == "token":
        return [_part(text, side, spots[n].start, spots[n].end, float(values[n])) for n in here]  # type: ignore[union-attr]
    units = words(text)
    if not units or not here:
        return []
    ends = np.array([unit.end for unit in units])
    starts = np.array([spots[n].start for n in here])  # type: ignore[union-attr]
    # A token is of the first word that ends behind its beginning.
    owners = np.minimum(np.searchsorted(ends, starts, side="right"), len(units) - 1)
    sums = np.bincount(owners, values[here], minlength=len(units))
    counts = np.bincount(owners, minlength=len(units))
    made = []
    for unit, total, count in zip(units, sums, counts, strict=True):
        if count:
            note = f"{count} tokens" if count > 1 else ""
            made.append(_part(text, side, unit.start, unit.end, float(total), note))
    return made


def _part(text: str, side: str, start: int, end: int, score: float, note: str = "") -> Contribution:
    from spaniel_explain.texts import Unit

    name = label(text, Unit("token", start, end))
    return Contribution(name, score, "token", note=note, side=side, span=(start, end))  # type: ignore[arg-type]
