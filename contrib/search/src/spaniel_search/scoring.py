"""Scoring one candidate: from the cache, or by the objective; whatever a candidate does wrong is a result."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from spaniel import ArtifactError, SpanielError, UsageError

from spaniel_search.evaluations import Evaluations
from spaniel_search.objectives import Objective

Scored = dict[str, Any]
"""``score`` (``None`` where it failed), ``cost``, ``detail``, ``error``, ``seconds``; ``cut``: stopped by its budget."""
_LONGEST = 2000
"""Characters of a reason."""


class _Enough(UsageError):
    """A candidate has used up what it may spend."""


class Scorer:
    """Scores candidates in one process, and keeps what they score.

    Args:
        objective: what scores.
        identity: of the objective.
        cache: file of the evaluation cache.
        seed: of the session, part of the cache's keys.
    """

    def __init__(self, objective: Objective, identity: str, cache: Path, seed: int) -> None:
        self.objective, self.identity, self.seed = objective, identity, seed
        self.evaluations = Evaluations(cache)

    def score(self, candidate: Any, effort: float, most: Mapping[str, float]) -> Scored:
        """Return what a candidate scored, as JSON.

        Args:
            candidate: what is scored.
            effort: share of the full effort.
            most: what it may spend at the most: ``"calls"``, ``"tokens"``; what is not there is not bounded.

        Raises:
            ArtifactError: something on disk is damaged, or the disk is full; that is no fault of the candidate's.
        """
        started = time.perf_counter()
        spent: dict[str, float] = {}

        def watch(what: str, amount: float) -> None:
            name = "calls" if what == "model calls" else "tokens" if what.endswith("tokens") else ""
            spent[name] = spent.get(name, 0.0) + amount
            if name in most and spent[name] > most[name] + 1e-9:
                raise _Enough(f"it takes more than the {most[name]:,g} {name} that were left of the budget")

        context = getattr(self.objective, "context", None)
        watched: AbstractContextManager[None] = context.watching(watch) if most and context else nullcontext()
        cut = False
        try:
            with watched:
                found, key = self._score(candidate, effort)
        except ArtifactError:
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        # Proxies and spaces are code of others: also an exit, or a panic of a library in Rust, is the candidate's.
        except BaseException as error:
            cut = isinstance(error, _Enough)
            name = "" if isinstance(error, SpanielError) else f"{type(error).__name__}: "
            found, key = failure(f"{name}{error}"), ""
        found.setdefault("seconds", time.perf_counter() - started)
        if cut:
            found["cost"] = {"model_calls": spent.get("calls", 0.0), "tokens": spent.get("tokens", 0.0)}
        elif found["score"] is not None and key:
            self.evaluations.put(key, found)
        return {**found, "cut": cut}

    def _score(self, candidate: Any, effort: float) -> tuple[Scored, str]:
        """Return what a candidate scored, and the key to keep it under; none where it was kept before."""
        key = Evaluations.key(self.identity, self.objective.key(candidate), effort, self.seed)
        known = self.evaluations.get(key)
        if known is not None:
            return known, ""
        outcome = self.objective.score(candidate, effort)
        found: Scored = {
            "score": float(outcome.score),
            "cost": {name: float(value) for name, value in outcome.cost.items()},
            "detail": dict(outcome.detail),
            "error": "",
        }
        if not math.isfinite(found["score"]):
            found.update(error=f"its score is {found['score']}", score=None)
        json.dumps(found, allow_nan=False)
        return found, key

    def close(self) -> None:
        """Close the cache."""
        self.evaluations.close()


def failure(reason: str) -> Scored:
    """Return what a candidate scored that failed."""
    plain = reason.encode("utf-8", "replace").decode()
    return {"score": None, "cost": {}, "detail": {}, "error": plain[:_LONGEST], "cut": False}
