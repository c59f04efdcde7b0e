"""What proxies over taps share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from spaniel import UsageError
from spaniel.protocols import SearchSpace, Tapped


class TapScore(ABC):
    """Base of proxies that read taps (:mod:`spaniel_neural.taps`): it implements ``score`` by a pass of its own.

    Attributes:
        taps: what is read.
        direction: which scores are better: the option of that name, where there is one.
    """

    taps: Sequence[str] = ()
    direction: Literal["maximise", "minimise"] = "maximise"
    config: Any

    def __init__(self, config: Any, context: Any) -> None:
        self.config = config
        self.context = context
        self.direction = getattr(config, "direction", self.direction)

    @abstractmethod
    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the score from what the taps saw."""

    def score(self, space: SearchSpace, candidate: Any, seed: int) -> float:
        """Run the candidate once, and score it.

        Raises:
            UsageError: the space cannot run its candidates, or does not show what is read.
        """
        if not isinstance(space, Tapped):
            raise UsageError(
                f"{type(self).__name__} needs a space of models; {type(space).__name__} runs no candidates"
            )
        from spaniel_neural.taps import check_taps

        check_taps(getattr(space, "taps", self.taps), self.taps, type(space).__name__)
        return self.score_taps(space.forward(candidate, seed, self.taps))
