"""What is searched for: the score of a candidate, with its cost, and how worker processes make it again."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from spaniel import Context, PluginError, UsageError
from spaniel.protocols import Proxy, SearchSpace
from spaniel.store import canonical_json, digest_bytes

from spaniel_search.candidates import digest
from spaniel_search.proxies import sign


@dataclass(frozen=True)
class Outcome:
    """What a candidate scored.

    Attributes:
        score: higher is better.
        cost: by name: ``"model calls"``, ``"tokens"``, ``"ms_per_query"`` …
        detail: what else is worth keeping, as JSON.
    """

    score: float
    cost: Mapping[str, float] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


class Objective(Protocol):
    """Scores candidates; the same candidate and effort always score the same."""

    @property
    def identity(self) -> str:
        """Digest of the data, the measure, and all else that decides a score beside the candidate."""
        ...

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        """Import path of a function, and its arguments, that make the objective in another process."""
        ...

    def key(self, candidate: Any) -> str:
        """Return the digest of all in a candidate that decides its score."""
        ...

    def score(self, candidate: Any, effort: float) -> Outcome:
        """Score a candidate at a share of the full effort."""
        ...


class ProxyObjective:
    """The score of a proxy, so that strategies can search for what a proxy likes best."""

    def __init__(self, context: Context, space: str, proxy: str) -> None:
        self.context = context
        self.names = (space, proxy)
        self.space: SearchSpace = context.create("search_space", space)
        self.proxy: Proxy = context.create("search_space", proxy)

    @property
    def identity(self) -> str:
        bound = [self.context.bind("search_space", name).description for name in self.names]
        return digest_bytes(canonical_json([*bound, getattr(self.proxy, "data", "")]))

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        context = self.context
        settings = {"store": str(context.store.root), "seed": context.seed, "device": context.device}
        return "spaniel_search.objectives:make_proxy", {**settings, "space": self.names[0], "proxy": self.names[1]}

    def key(self, candidate: Any) -> str:
        return digest(self.space, candidate)

    def score(self, candidate: Any, effort: float) -> Outcome:
        """Return the proxy's score, with its sign turned where less is better; the effort changes nothing."""
        return Outcome(sign(self.proxy) * float(self.proxy.score(self.space, candidate, self.context.seed)))


def make_proxy(store: str, seed: int, device: str, space: str, proxy: str) -> ProxyObjective:
    """Make a :class:`ProxyObjective` in a worker process."""
    return ProxyObjective(Context(store, seed=seed, device=device), space, proxy)


def evaluate(objective: Objective, candidate: Any, effort: float) -> dict[str, Any]:
    """Return what a candidate scored as JSON; where the candidate is at fault, ``score`` is ``None`` and ``error`` says why.

    Raises:
        ArtifactError: something on disk is damaged, or the disk is full; that is no fault of the candidate's.
    """
    started = time.perf_counter()
    try:
        outcome = objective.score(candidate, effort)
        found: dict[str, Any] = {
            "score": float(outcome.score),
            "cost": {name: float(value) for name, value in outcome.cost.items()},
            "detail": dict(outcome.detail),
            "error": "",
        }
        if not math.isfinite(found["score"]):
            found.update(error=f"its score is {found['score']}", score=None)
    except (UsageError, PluginError) as error:
        found = {"score": None, "cost": {}, "detail": {}, "error": str(error)}
    return {**found, "seconds": time.perf_counter() - started}
