"""Asking a system for more passages than its own ``k`` says."""

from __future__ import annotations

from typing import Any

from spaniel import Expression, Stage
from spaniel.expression import Chain
from spaniel.pipeline import Bound, Pipeline


def own_k(pipeline: Pipeline) -> int | None:
    """Return how many passages a query's list has at the most, where that is for the retriever alone to say.

    A retriever says it by its option ``k``, behind rewriters or not; a fusion has those of its systems, of which the
    smallest counts. Behind other stages nothing is known.
    """
    ranking = [stage for stage in pipeline.stages if stage.gives == "run"]
    return _own_k(ranking[0]) if len(ranking) == 1 else None


def _own_k(stage: Bound) -> int | None:
    inputs = _inputs(stage)
    if inputs:
        found = [own_k(system) for system in inputs]
        return None if None in found else min(k for k in found if k is not None)
    k = getattr(stage.config, "k", None)
    return k if type(k) is int and stage.kind == "retrieve" else None


def grown(pipeline: Pipeline, factor: int) -> Expression:
    """Return a system that :func:`own_k` knows, with so many times its passages."""
    stages = [_grown(stage, factor) if stage.gives == "run" else stage.expression for stage in pipeline.stages]
    return stages[0] if len(stages) == 1 else Chain(*stages)


def _grown(stage: Bound, factor: int) -> Stage:
    inputs = _inputs(stage)
    if inputs:
        return Stage(stage.expression.name, *(grown(system, factor) for system in inputs), **stage.expression.options)
    assert stage.config is not None
    return with_options(stage, k=factor * stage.config.k)  # type: ignore[attr-defined]


def with_options(stage: Bound, **options: Any) -> Stage:
    """Return a stage's expression with other options."""
    expression = stage.expression
    return Stage(expression.name, *expression.inputs, **{**expression.options, **options})


def _inputs(stage: Bound) -> tuple[Pipeline, ...]:
    field = stage.config.inputs_field if stage.config is not None else ""
    return tuple(one for one in stage.references.get(field, ()) if isinstance(one, Pipeline))
