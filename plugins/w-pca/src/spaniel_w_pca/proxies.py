"""V-PCA, W-PCA, and the mean of any proxy over seeds and batches (Wang 2025, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from spaniel import UsageError
from spaniel.protocols import Proxy, SearchSpace
from spaniel_neural.config import ProbeConfig
from spaniel_neural.tapping import TapScore
from spaniel_neural.taps import FFN_BEFORE, MASK, PARAMETERS
from torch.utils.weak import WeakIdKeyDictionary

from spaniel_w_pca.principal import count_components

BOTTLENECKS = "bottlenecks"
"""A tap of this plugin's own space: for each block, whether its feed-forward network stands in a bottleneck."""


class VPca(TapScore):
    """Σ over blocks of the principal components that explain ``eta`` of what the feed-forward linears gave.

    One forward pass, no gradient, no label. What was counted of a tensor is kept as long as the tensor lives, so that
    candidates of a space that share blocks share the counting.
    """

    def __init__(self, config: Any, context: Any) -> None:
        super().__init__(config, context)
        self.taps: Sequence[str] = (FFN_BEFORE, MASK)
        if config.bottleneck_eta is not None:
            self.taps = (*self.taps, BOTTLENECKS)
        self._counted: Any = WeakIdKeyDictionary()

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the sum, or the mean over blocks."""
        config, blocks = self.config, seen[FFN_BEFORE]
        narrow = seen.get(BOTTLENECKS, [False] * len(blocks))
        total = 0.0
        for block, is_narrow in zip(blocks, narrow, strict=True):
            eta = config.bottleneck_eta if is_narrow else config.eta
            for before in block[:1] if config.linears == "first" else block:
                count = self._count(before, seen[MASK], eta)
                total += count / before.shape[-1] if config.normalise else count
        return total / max(1, len(blocks)) if config.over == "mean" else total

    def _count(self, before: torch.Tensor, mask: torch.Tensor, eta: float) -> int:
        known = self._counted.setdefault(before, {})
        if eta not in known:
            known[eta] = count_components(before[mask], eta)
        found: int = known[eta]
        return found


class WPca(VPca):
    """V-PCA times the number of parameters."""

    def __init__(self, config: Any, context: Any) -> None:
        super().__init__(config, context)
        self.taps = (*self.taps, PARAMETERS)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the product."""
        return float(seen[PARAMETERS]) * super().score_taps(seen)


class Averaged:
    """The mean of another proxy over fresh weights and over batches of texts."""

    def __init__(self, config: Any, context: Any) -> None:
        self.config = config
        self.context = context
        self.proxy: Proxy = context.create("search_space", config.proxy)
        self.direction = self.proxy.direction
        self._spaces: dict[int, list[SearchSpace]] = {}

    def score(self, space: SearchSpace, candidate: Any, seed: int) -> float:
        """Return the mean of the scores with seeds from ``seed`` on and with batches from the space's own on.

        Raises:
            UsageError: other batches are asked for, and the space reads none.
        """
        seeds = range(seed, seed + self.config.seeds)
        scores = [self.proxy.score(one, candidate, number) for one in self._of(space) for number in seeds]
        return sum(scores) / len(scores)

    def _of(self, space: SearchSpace) -> list[SearchSpace]:
        if self.config.batches == 1:
            return [space]
        known = self._spaces.get(id(space))
        if known is not None and known[0] is space:
            return known
        config = getattr(space, "config", None)
        if not isinstance(config, ProbeConfig):
            raise UsageError(
                f"batches={self.config.batches}: {type(space).__name__} runs its candidates on no batches of texts"
            )
        make: Any = type(space)
        others = [
            make(config.model_copy(update={"batch": config.batch + number}), self.context)
            for number in range(1, self.config.batches)
        ]
        self._spaces[id(space)] = [space, *others]
        return self._spaces[id(space)]
