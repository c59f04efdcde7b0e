"""Texts that come several times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return texts without repetitions, in their order, and the place of each text among them: ``(texts,)``."""
    places: dict[str, int] = {}
    found = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
    return list(places), found
