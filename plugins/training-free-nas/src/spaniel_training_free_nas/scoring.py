"""Scores of many candidates by many proxies, as an artifact: what was scored before a kill is not scored again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.collections import find_dataset
from spaniel.store import Draft, Need, Recipe
from spaniel_search.proxies import score_all, sign

if TYPE_CHECKING:
    from spaniel import Context

_TOGETHER = 10
"""Candidates whose scores are written together."""


def scores_need(context: Context, space: str, candidates: Sequence[Any], proxies: Sequence[str]) -> Need:
    """Name the artifact of scores; nothing is scored yet.

    Args:
        context: the session.
        space: the candidates' space, as an expression.
        candidates: what is scored.
        proxies: expressions; those that read taps share one pass of each candidate.

    Raises:
        UsageError: a component is none of its role, or a candidate is none of the space.
    """
    bound = {name: context.bind("search_space", name) for name in (space, *proxies)}
    for name, one in bound.items():
        role = "space" if name == space else "proxy"
        if one.registered.component.role != role:
            raise UsageError(f"`{one.registered.name}` is a {one.registered.component.role}; a {role} is needed")
    made = context.make(bound[space])
    for candidate in candidates:
        try:
            made.validate(candidate)
        except UsageError as error:
            raise UsageError(f"{candidate!r} is no candidate of {space}: {error}") from error
    versions = {one.registered.full_name: one.registered.version for one in bound.values()}
    data = getattr(made.config, "data", "")
    recipe = Recipe(
        type="proxy-scores",
        component="spaniel-training-free-nas/nas-bench",
        version=bound[space].registered.version,
        config={
            "space": bound[space].description,
            "proxies": [bound[name].description for name in proxies],
            "candidates": [made.canonical(one) for one in candidates],
            "versions": versions,
        },
        seed=context.seed,
        inputs={"documents": find_dataset(context, data).documents().recipe.address} if data else {},
    )

    def build(draft: Draft) -> None:
        advance = draft.progress(len(candidates), "candidates")
        scorers = {name: context.make(bound[name]) for name in proxies}
        for start in range(0, len(candidates), _TOGETHER):
            part = _part(start)
            batch = candidates[start : start + _TOGETHER]
            if not draft.done(part):
                rows = []
                for candidate in batch:
                    found = score_all(made, scorers, candidate, context.seed)
                    rows.append([sign(scorers[name]) * found[name] for name in proxies])
                    advance(1)
                draft.file(part).write_text(json.dumps(rows), encoding="utf-8")
                draft.finish(part)
            else:
                advance(len(batch))

    return Need(recipe, build)


def scores_of(
    context: Context, space: str, candidates: Sequence[Any], proxies: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of candidates, larger is better in all of them: proxy → ``(n,)``.

    Raises:
        UsageError: a proxy gave what is no finite number.
    """
    artifact = context.obtain(scores_need(context, space, candidates, proxies))
    rows: list[list[float]] = []
    for start in range(0, len(candidates), _TOGETHER):
        rows += json.loads(artifact.file(_part(start)).read_text(encoding="utf-8"))
    table = np.array(rows, np.float64)
    for at, name in enumerate(proxies):
        if not np.isfinite(table[:, at]).all():
            place = int(np.flatnonzero(~np.isfinite(table[:, at]))[0])
            raise UsageError(f"{name} gives {table[place, at]} for candidate {place}, which cannot be compared")
    return {name: table[:, at] for at, name in enumerate(proxies)}


def _part(start: int) -> str:
    return f"scores-{start:05d}.json"
