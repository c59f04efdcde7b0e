"""Which explainer explains which stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spaniel.context import blame
from spaniel.errors import UsageError
from spaniel.explanation import TOLERANCE, Contribution, Explanation, Place
from spaniel.explanation.weighing import weighed
from spaniel.expression import Expression
from spaniel.pipeline import Bound, Pipeline
from spaniel.plugins import Registered
from spaniel.protocols import LateExplainer, OpenExplainer, Reranker, Retriever, Scorer

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.data import Corpus, Run
    from spaniel.pipeline.flow import Flow

PIPELINE = "pipeline"
"""What an explainer of whole pipelines takes."""
_CUT = "spaniel/cut"
_SHOWN = 80
"""Characters that are shown of a query that was rewritten."""


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
    flows = flows_of(context, whole, query, corpus, run)
    made = context.make(chosen)
    with blame(chosen.registered.distribution, f"explain `{chosen.registered.name}`"):
        named = str(pipeline.expression)
        if PIPELINE in takes:
            explanations = list(explain_target(made, whole, query, rows, corpus, run))
        else:
            if not can_explain(context, chosen.registered, target):
                raise UsageError(f"`{chosen.registered.name}` explains {', '.join(takes)}, not {_key(target)}")
            named = str(target.expression)
            before = str(pipeline.stages[last - 1].expression) if last else "the stage before"
            stage_ = _Stage(context, made, chosen.registered.name, target, before)
            explanations = stage_.explain(flows[last], flows[last + 1].run, rows, corpus)
    finished = []
    for explanation, text, row in zip(explanations, corpus.contents(rows), rows, strict=True):
        stages = explanation.stages or places(pipeline, flows, row)
        explanation = replace(
            explanation,
            target=named,
            text=explanation.text or text,
            stages=stages,
            pipeline=str(whole.expression),
        )
        finished.append(_to_real_score(explanation, stages[last]))
    return finished


class _Stage(NamedTuple):
    """A stage, and who explains it."""

    context: Context
    explainer: Any
    name: str
    target: Bound
    before: str

    def explain(self, flow: Flow, run: Run | None, rows: Sequence[int], corpus: Corpus) -> list[Explanation]:
        """Explain what the stage makes of what it is given; where it is asked several texts, the parts are theirs."""
        asked = flow.asked()
        behind = flow.run if self.target.follows != "never" else None
        if flow.variants is None or len(asked) == 1:
            assert run is not None
            return self.explain_text(asked[0][0], behind, run, rows, corpus)
        found = []
        for text, weight in asked:
            alone = Pipeline(self.target.expression, (self.target,))
            run = flows_of(self.context, alone, text, corpus, behind)[-1].run
            assert run is not None
            found.append((text, weight, run, self.explain_text(text, behind, run, rows, corpus)))
        made = []
        for at, (row, document) in enumerate(zip(rows, corpus.ids(rows), strict=True)):
            parts = tuple(_variant(*one[:3], row, one[3][at], flow.variants.k) for one in found)
            total = float(sum(part.score for part in parts))
            made.append(Explanation("", self.name, flow.queries.texts[0], document, total, parts))
        return made

    def explain_text(
        self, text: str, behind: Run | None, run: Run, rows: Sequence[int], corpus: Corpus
    ) -> list[Explanation]:
        """Explain the scores for one text; those of documents that a stage lacks which orders lists have no parts."""
        thing = self.context.make(self.target)
        orders = isinstance(thing, Reranker) and not isinstance(thing, Scorer | Retriever)
        held = [row for row in rows if not orders or row in run.rows]
        found = iter(explain_target(self.explainer, thing, text, held, corpus, behind))
        made = [
            next(found) if row in held else Explanation("", self.name, text, document, 0.0, ())
            for row, document in zip(rows, corpus.ids(rows), strict=True)
        ]
        return weighed(made, thing, text, rows, corpus, behind, self.before) if isinstance(thing, Scorer) else made


def _variant(text: str, weight: float, run: Run, row: int, explanation: Explanation, k: float) -> Contribution:
    """Return what one of several texts adds to a document's score in the fused list."""
    found = np.flatnonzero(run.rows == row)
    label = f"“{shorten(text, _SHOWN, placeholder=' …')}”"
    if not len(found):
        return Contribution(label, 0.0, "query", note=f"not among its {len(run.rows)} documents")
    rank = int(found[0]) + 1
    note = f"rank {rank} of {len(run.rows)}; its own score {explanation.score:.4f}"
    return Contribution(
        label, weight / (k + rank), "query", tuple(part.without_places("query") for part in explanation.parts()), note
    )


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


def flows_of(context: Context, pipeline: Pipeline, query: str, corpus: Corpus, run: Run | None = None) -> list[Flow]:
    """Return what flows into the first stage of a pipeline for a query, and what comes out of each."""
    from spaniel.data import Queries
    from spaniel.pipeline.flow import Flow
    from spaniel.pipeline.run import flow_through

    queries = Queries.from_lists(["query"], [query])
    # What a session has run is not run again.
    return [Flow(queries, run), *(flow for flow, _ in flow_through(context, pipeline, queries, corpus, run))]


def places(pipeline: Pipeline, flows: Sequence[Flow], row: int) -> tuple[Place, ...]:
    """Return where a document stood in the lists behind stages, as :func:`flows_of` gives them."""
    made = []
    for bound, before, flow in zip(pipeline.stages, flows, flows[1:], strict=False):
        if bound.gives == "queries" or flow.run is None:
            note = _rewriting(before, flow) or "leaves the query as it is"
            made.append(Place(str(bound.expression), 0, 0, 0.0, note))
            continue
        found = np.flatnonzero(flow.run.rows == row)
        rank, score = (int(found[0]) + 1, float(flow.run.scores[found[0]])) if len(found) else (0, 0.0)
        made.append(Place(str(bound.expression), rank, len(flow.run.rows), score))
    return tuple(made)


def rewritings(pipeline: Pipeline, flows: Sequence[Flow]) -> list[tuple[str, list[str]]]:
    """Return the stages that changed the query, as they print, and what each has the next stage asked."""
    made = zip(pipeline.stages, flows, flows[1:], strict=False)
    return [
        (str(bound.expression), [text for text, _ in flow.asked()])
        for bound, before, flow in made
        if bound.gives == "queries" and flow.asked() != before.asked()
    ]


def _rewriting(before: Flow, flow: Flow) -> str:
    return f"{_listed(before)} → {_listed(flow)}" if flow.asked() != before.asked() else ""


def _listed(flow: Flow) -> str:
    return ", ".join(f"“{shorten(text, _SHOWN, placeholder=' …')}”" for text, _ in flow.asked())


def scoring_stage(pipeline: Pipeline) -> int:
    """Return the position of the last stage that scores: neither cuts nor rewriters do."""
    return max(at for at, bound in enumerate(pipeline.stages) if _scores(bound))


def _scores(bound: Bound) -> bool:
    return bound.gives == "run" and bound.registered.full_name != _CUT


def _chosen_stage(pipeline: Pipeline, stage: int | None) -> int:
    if stage is None:
        return scoring_stage(pipeline)
    if not 1 <= stage <= len(pipeline.stages):
        raise UsageError(f"stage {stage}: `{pipeline.expression}` has the stages 1 to {len(pipeline.stages)}")
    if not _scores(pipeline.stages[stage - 1]):
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
