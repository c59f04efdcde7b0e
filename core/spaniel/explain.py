"""Which explainer explains which stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel.context import blame
from spaniel.errors import UsageError
from spaniel.explanation import Explanation
from spaniel.expression import Expression
from spaniel.pipeline import Bound

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.data import Corpus


def explain_pipeline(
    context: Context,
    expression: Expression | str,
    query: str,
    rows: Sequence[int],
    corpus: Corpus,
    explainer: Expression | str | None = None,
) -> list[Explanation]:
    """Explain the scores that a pipeline gives to documents: those of its last stage that scores.

    Args:
        context: the session.
        expression: the pipeline.
        query: text of the query.
        rows: the documents.
        corpus: their corpus.
        explainer: a component of kind ``explain``; by default the first that takes the stage.

    Raises:
        UsageError: no explainer takes the stage; the message lists what can be explained.
    """
    pipeline = context.pipeline(expression)
    scoring = [bound for bound in pipeline.stages if bound.registered.full_name != "spaniel/cut"]
    target = scoring[-1]
    chosen = context.bind("explain", explainer if explainer is not None else explainers_of(context, target)[0])
    if _key(target) not in chosen.registered.component.takes:
        takes = ", ".join(chosen.registered.component.takes)
        raise UsageError(f"`{chosen.registered.name}` explains {takes}, not {_key(target)}")
    component = context.make(chosen)
    with blame(chosen.registered.distribution, f"explain `{chosen.registered.name}`"):
        explanations: list[Explanation] = list(component.explain(context.make(target), query, rows, corpus))
    return explanations


def explainers_of(context: Context, target: Bound) -> list[str]:
    """Return the names of the explainers that take a stage.

    Raises:
        UsageError: there is none.
    """
    every = context.registry.components("explain")
    found = [registered.full_name for registered in every if _key(target) in registered.component.takes]
    if not found:
        can = sorted({taken for registered in every for taken in registered.component.takes})
        raise UsageError(f"no explainer for {_key(target)}; these can be explained: {', '.join(can) or 'none'}")
    return found


def _key(bound: Bound) -> str:
    return f"{bound.kind}/{bound.registered.name}"
