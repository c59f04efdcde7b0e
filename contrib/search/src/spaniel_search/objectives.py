"""What is searched for: the score of a candidate, with its cost, and how worker processes make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from spaniel import Context
from spaniel.protocols import Proxy, SearchSpace
from spaniel.store import canonical_json, digest_bytes

from spaniel_search.candidates import digest
from spaniel_search.proxies import sign
from spaniel_search.sessions import files_digest, open_session, settings_of


@dataclass(frozen=True)
class Outcome:
    """What a candidate scored.

    Attributes:
        score: higher is better.
        cost: by name: ``"model_calls"``, ``"tokens"``, ``"ms_per_query"`` …
        detail: what else is worth keeping, as JSON.
    """

    score: float
    cost: Mapping[str, float] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


class Objective(Protocol):
    """Scores candidates; the same candidate and effort always score the same.

    Attributes:
        staged: whether a share of the full effort costs that share; otherwise every score is one at full effort.
        context: the session that it counts model calls in; budgets of calls and tokens stop a candidate through it.
    """

    staged: bool
    context: Context

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
    """The score of a proxy, so that strategies can search for what a proxy likes best.

    A proxy knows no less than the full effort. Each score tells its cost: the model calls and tokens that the proxy counts.
    """

    staged = False

    def __init__(self, context: Context, space: str, proxy: str) -> None:
        self.context = context
        self.names = (space, proxy)
        self.space: SearchSpace = context.create("search_space", space)
        self.proxy: Proxy = context.create("search_space", proxy)

    @property
    def identity(self) -> str:
        bound = [self.context.bind("search_space", name).description for name in self.names]
        return digest_bytes(canonical_json([*bound, getattr(self.proxy, "data", ""), *files_digest(self.context)]))

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        settings = settings_of(self.context)
        return "spaniel_search.objectives:make_proxy", {
            "settings": settings,
            "space": self.names[0],
            "proxy": self.names[1],
        }

    def key(self, candidate: Any) -> str:
        return digest(self.space, candidate)

    def score(self, candidate: Any, effort: float) -> Outcome:
        """Return the proxy's score, with its sign turned where less is better; the effort changes nothing."""
        with self.context.stage(f"score by {self.names[1]}") as stage:
            score = sign(self.proxy) * float(self.proxy.score(self.space, candidate, self.context.seed))
        counted = stage.cost
        tokens = sum(amount for name, amount in counted.items() if name.endswith("tokens"))
        return Outcome(score, {"model_calls": counted.get("model calls", 0.0), "tokens": tokens})


def make_proxy(settings: dict[str, Any], space: str, proxy: str) -> ProxyObjective:
    """Make a :class:`ProxyObjective` in a worker process."""
    return ProxyObjective(open_session(settings), space, proxy)
