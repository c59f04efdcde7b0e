"""A funnel of proxies."""

from __future__ import annotations

import math
from typing import Any

from spaniel import ArtifactError, PluginError
from spaniel.protocols import Proxy

from spaniel_search.candidates import digest
from spaniel_search.proxies import sign
from spaniel_search.strategies.base import Walker


class Funnel(Walker):
    """Samples many candidates, keeps those that cheap proxies rank best, and asks for these, the best first.

    Each proxy ranks what the one before has kept (Abdelfattah et al. 2021, warm-up by zero-cost proxies). When all are
    asked for, another round is sampled. What a proxy fails on is left out. Proxies are called in the walk's own process
    and beside its budget, so that one in calls or tokens is refused.
    """

    uncounted = True

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
            count = max(1, round(self.config.keep * len(kept)))
            scored = [(score, at) for at, c in enumerate(kept) if (score := self._score(proxy, c)) is not None]
            if not scored:
                raise PluginError("spaniel-search", f"`{expression}` failed on all {len(kept)} candidates of a round")
            kept = [kept[at] for _, at in sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:count]]
        return kept

    def _score(self, proxy: Proxy, candidate: Any) -> float | None:
        try:
            score = sign(proxy) * float(proxy.score(self.space, candidate, self.context.seed))
        except ArtifactError:
            raise
        except Exception:  # whatever a proxy of others raises, the walk goes on with other candidates
            return None
        return score if math.isfinite(score) else None
