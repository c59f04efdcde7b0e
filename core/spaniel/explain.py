"""Which explainer explains which stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spaniel.context import blame
from spaniel.errors import UsageError
from spaniel.explanation import TOLERANCE, Explanation, Place
from spaniel.explanation.weighing import weighed
from spaniel.expression import Expression
from spaniel.pipeline import Bound, Pipeline
from spaniel.plugins import Registered
from spaniel.protocols import LateExplainer, OpenExplainer, Reranker, Retriever, Scorer

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.data import Corpus, Run

PIPELINE = "pipeline"
"""What an explainer of whole pipelines takes."""
_CUT = "spaniel/cut"


def explain_pipeline(
    context: Context,
    expression: Expression | str | Pipeline,
    query: str,
    rows: Sequence[int],
    corpus: Corpus,
    explainer: Expression | str | None = None,
    *,
    stage: int | None = None,
    run: Run | None = None,
) -> list[Explanation]:
    """Explain the scores that a pipeline gives to documents: those of its last stage that scores.

    Each explanation says where the document stood behind each stage; with ``stage``, up to that one.

    Args:
        context: the session.
        expression: the pipeline.
        query: text of the query.
        rows: the documents.
        corpus: their corpus.
        explainer: a component of kind ``explain``; by default the first that takes the stage.
        stage: the stage to explain, from 1; by default the last that scores.
        run: the list that the pipeline works on, where it stands behind other stages.

    Raises:
        UsageError: no explainer takes the stage; the message lists what can be explained.
    """
    pipeline = context.pipeline(expression, behind=run is not None)
    last = _chosen_stage(pipeline, stage)
    target = pipeline.stages[last]
    if explainer is None:
        explainer = explainers_of(context, target)[0]
    chosen = context.bind("explain", explainer)
    takes = chosen.registered.component.takes
    if not len(rows):
        return []
    whole = pipeline if stage is None else Pipeline(pipeline.expression, pipeline.stages[: last + 1])
    runs = runs_of(context, whole, query, corpus, run)
    made = context.make(chosen)
    with blame(chosen.registered.distribution, f"explain `{chosen.registered.name}`"):
        named = str(pipeline.expression)
        if PIPELINE in takes:
            explanations = list(explain_target(made, whole, query, rows, corpus, run))
        else:
            if not can_explain(context, chosen.registered, target):
                raise UsageError(f"`{chosen.registered.name}` explains {', '.join(takes)}, not {_key(target)}")
            named = str(target.expression)
            behind, thing = (runs[last - 1] if last else run), context.make(target)
            explanations = _explain_listed(made, chosen.registered.name, thing, query, rows, corpus, behind, runs[last])
            if isinstance(thing, Scorer):
                before = str(pipeline.stages[last - 1].expression) if last else "the stage before"
                explanations = weighed(explanations, thing, query, rows, corpus, behind, before)
    finished = []
    for explanation, text, row in zip(explanations, corpus.contents(rows), rows, strict=True):
        stages = explanation.stages or places(pipeline, runs, row)
        explanation = replace(
            explanation,
            target=named,
            text=explanation.text or text,
            stages=stages,
            pipeline=str(whole.expression),
        )
        finished.append(_to_real_score(explanation, stages[last]))
    return finished


def _explain_listed(
    explainer: Any,
    name: str,
    target: Any,
    query: str,
    rows: Sequence[int],
    corpus: Corpus,
    behind: Run | None,
    run: Run,
) -> list[Explanation]:
    """Ask an explainer; a stage that orders lists has no score for documents that its list lacks: theirs have no parts."""
    orders = isinstance(target, Reranker) and not isinstance(target, Scorer | Retriever)
    held = [row for row in rows if not orders or row in run.rows]
    made = iter(explain_target(explainer, target, query, held, corpus, behind))
    return [
        next(made) if row in held else Explanation("", name, query, document, 0.0, ())
        for row, document in zip(rows, corpus.ids(rows), strict=True)
    ]


def _to_real_score(explanation: Explanation, place: Place) -> Explanation:
    """Return an explanation of the score in the list: what an index or another arithmetic adds is not explained.

    Parts that are right but for rounding are left alone.
    """
    gap = place.score - explanation.score
    if explanation.unit != "score" or not place.rank or abs(gap) <= TOLERANCE * max(1.0, abs(place.score)):
        return explanation
    return replace(explanation, score=place.score, remainder=explanation.remainder + gap)


def explain_target(
    explainer: Any, target: Any, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
) -> Sequence[Explanation]:
    """Ask an explainer; one that knows earlier runs is given it, unless the target scores each document by itself."""
    if isinstance(explainer, LateExplainer) and not isinstance(target, Scorer):
        return explainer.explain_behind(target, query, rows, corpus, run)
    made: Sequence[Explanation] = explainer.explain(target, query, rows, corpus)
    return made


def explainers_of(context: Context, target: Bound) -> list[str]:
    """Return the names of the explainers that take a stage: first those that name it, then those that take its kind.

    Raises:
        UsageError: there is none.
    """
    every = context.registry.components("explain")
    named = [registered for registered in every if _key(target) in registered.component.takes]
    others = [
        registered for registered in every if registered not in named and can_explain(context, registered, target)
    ]
    if not named and not others:
        can = sorted({taken for registered in every for taken in registered.component.takes})
        raise UsageError(f"no explainer for {_key(target)}; these can be explained: {', '.join(can) or 'none'}")
    return [registered.full_name for registered in (*named, *others)]


def runs_of(context: Context, pipeline: Pipeline, query: str, corpus: Corpus, run: Run | None = None) -> list[Run]:
    """Return the list of a query behind each stage of a pipeline."""
    from spaniel.data import Queries

    queries = Queries.from_lists(["query"], [query])
    # What a session has run is not run again.
    prefixes = [Pipeline(pipeline.expression, pipeline.stages[:end]) for end in range(1, len(pipeline.stages) + 1)]
    return [context.run(prefix, queries, corpus, run) for prefix in prefixes]


def places(pipeline: Pipeline, runs: Sequence[Run], row: int) -> tuple[Place, ...]:
    """Return where a document stood in the lists behind stages, as :func:`runs_of` gives them."""
    made = []
    for bound, run in zip(pipeline.stages, runs, strict=False):
        found = np.flatnonzero(run.rows == row)
        rank, score = (int(found[0]) + 1, float(run.scores[found[0]])) if len(found) else (0, 0.0)
        made.append(Place(str(bound.expression), rank, len(run.rows), score))
    return tuple(made)


def scoring_stage(pipeline: Pipeline) -> int:
    """Return the position of the last stage that scores: cuts do not."""
    return max(at for at, bound in enumerate(pipeline.stages) if bound.registered.full_name != _CUT)


def _chosen_stage(pipeline: Pipeline, stage: int | None) -> int:
    if stage is None:
        return scoring_stage(pipeline)
    if not 1 <= stage <= len(pipeline.stages):
        raise UsageError(f"stage {stage}: `{pipeline.expression}` has the stages 1 to {len(pipeline.stages)}")
    if pipeline.stages[stage - 1].registered.full_name == _CUT:
        raise UsageError(f"stage {stage} is `{pipeline.stages[stage - 1].expression}`, which gives no scores")
    return stage - 1


def can_explain(context: Context, registered: Registered, target: Bound) -> bool:
    """Return whether an explainer takes a stage: it names it, or takes its kind and accepts it."""
    if _key(target) in registered.component.takes:
        return True
    if f"{target.kind}/*" not in registered.component.takes:
        return False
    # Whether it can explain does not hang on its options; one that needs some is not chosen unasked.
    try:
        made = context.create("explain", registered.full_name)
    except UsageError:
        return False
    return isinstance(made, OpenExplainer) and made.accepts(context.make(target))


def _key(bound: Bound) -> str:
    return f"{bound.kind}/{bound.registered.name}"
