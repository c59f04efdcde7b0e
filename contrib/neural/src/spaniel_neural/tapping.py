"""What spaces of models, and proxies over taps, share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from spaniel import UsageError
from spaniel.protocols import SearchSpace, Tapped


class ModelSpace(ABC):
    """Base of spaces of models that are run once on the texts of an option: it implements ``forward`` by ``build``.

    Args:
        config: a :class:`spaniel_neural.config.ProbeConfig` with ``vocab_size``.
        context: the session.
    """

    def __init__(self, config: Any, context: Any) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def build(self, candidate: Any, seed: int) -> Any:
        """Return the candidate's model with fresh weights: a :class:`spaniel_neural.taps.Tappable`."""

    def forward(self, candidate: Any, seed: int, taps: Sequence[str]) -> dict[str, Any]:
        """Build a candidate, run it once on the texts of ``config.data``, and return what each tap saw.

        Raises:
            UsageError: the candidate does not belong to the space, or its model has no such tap.
        """
        from spaniel_neural.devices import choose_device
        from spaniel_neural.probing import probe
        from spaniel_neural.taps import see

        config, device = self.config, choose_device(self.context.device)
        ids, mask = probe(self.context, config, config.vocab_size)
        model = self.build(candidate, seed).to(device)
        return see(
            model, ids.to(device), mask.to(device), taps, seed, readout=config.readout, train_mode=config.train_mode
        )


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
