"""Random search."""

from __future__ import annotations

from typing import Any

from spaniel_search.strategies.base import Walker


class Random(Walker):
    """Independent samples: what every other strategy has to beat (Bergstra and Bengio, JMLR 2012)."""

    def next(self) -> tuple[Any, Any]:
        return self.space.sample(self.rng), ""
