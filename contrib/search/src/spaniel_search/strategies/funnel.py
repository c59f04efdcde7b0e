"""A funnel of proxies."""

from __future__ import annotations

from typing import Any

from spaniel_search.candidates import digest
from spaniel_search.proxies import sign
from spaniel_search.strategies.base import Walker


class Funnel(Walker):
    """Samples many candidates, keeps those that cheap proxies rank best, and asks for these, the best first.

    Each proxy ranks what the one before has kept (Abdelfattah et al. 2021, warm-up by zero-cost proxies). When all are
    asked for, another round is sampled. What proxies score is counted as ``proxy calls``.
    """

    def begin(self) -> dict[str, Any]:
        return {"kept": [], "rounds": 0}

    def next(self) -> tuple[Any, Any]:
        if not self.memory["kept"]:
            self.memory["kept"] = self._round()
        return self.memory["kept"].pop(0), ""

    def _round(self) -> list[Any]:
        self.memory["rounds"] += 1
        samples = [self.space.sample(self.rng) for _ in range(self.config.samples)]
        kept = list({digest(self.space, sample): sample for sample in samples}.values())
        for expression in self.config.proxies:
            proxy = self.context.create("search_space", expression)
            scores = [sign(proxy) * proxy.score(self.space, c, self.context.seed) for c in kept]
            self.context.count("proxy calls", len(kept))
            order = sorted(range(len(kept)), key=lambda at: (-scores[at], at))
            kept = [kept[at] for at in order[: max(1, round(self.config.keep * len(kept)))]]
        return kept
