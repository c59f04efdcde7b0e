"""What explainers promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from spaniel.context import Context
from spaniel.data import Corpus, Run
from spaniel.errors import UsageError
from spaniel.explain import PIPELINE, can_explain, explain_target
from spaniel.explanation import Contribution, Explanation
from spaniel.pipeline import Bound, Pipeline
from spaniel.testing.case import Case, Lacking, expect, expect_close
from spaniel.testing.promises.rerank import input_run


class Explained(NamedTuple):
    """Explanations of a target's scores, with the run that has the scores."""

    explanations: list[Explanation]
    run: Run
    corpus: Corpus
    is_exact: bool


def explained(case: Case) -> Explained:
    """Explain the scores of the best documents of the first query.

    Raises:
        Lacking: nothing that it explains is installed.
    """
    context, corpus = case.context(), case.plain.corpus()
    target = _target(case, context)
    queries = case.plain.queries.select([0])
    behind = None
    if isinstance(target, Pipeline):
        thing: Any = target
        run = context.run(target, queries, corpus)
    else:
        thing = context.make(target)
        for need in thing.needs(corpus.need) if hasattr(thing, "needs") else ():
            context.obtain(need)
        behind = input_run(queries, corpus) if target.follows == "must" else None
        run = (
            thing.rerank(queries, behind, corpus)
            if target.kind == "rerank"
            else thing.retrieve(queries, corpus, behind)
        )
    run = run.cut(4)
    expect(len(run.rows) > 0, f"`{target.expression}` finds nothing to explain")
    explainer: Any = case.make(context)
    made = explain_target(explainer, thing, queries.texts[0], run.rows.tolist(), corpus, behind)
    return Explained(list(made), run, corpus, getattr(explainer, "exact", False) is True)


def _target(case: Case, context: Context) -> Bound | Pipeline:
    takes = case.registered.component.takes
    if PIPELINE in takes:
        if case.target is None:
            raise Lacking("the component explains pipelines; give contract(…, target=…)")
        return context.pipeline(case.target)
    for taken in takes:
        kind, _, name = taken.partition("/")
        if case.target is None and not case.registry.has(kind, name):
            continue
        expression = case.target if case.target is not None else name
        try:
            bound = context.bind(kind, expression)
        except UsageError:
            continue
        if can_explain(context, case.registered, bound):
            return bound
    what = case.target or "any of it without options; give contract(…, target=…)"
    raise Lacking(f"the component explains {', '.join(takes) or 'nothing'}; there is no way to make {what}")


def explains_every_document(case: Case) -> None:
    """One explanation a document, in the order asked for, of this query and by this explainer."""
    found = explained(case)
    ids = found.corpus.ids(found.run.rows)
    expect(
        [e.document_id for e in found.explanations] == ids, "the explanations are of other documents, or out of order"
    )
    for explanation in found.explanations:
        expect(isinstance(explanation, Explanation), f"{type(explanation).__name__} is no Explanation")
        expect(explanation.query == case.plain.queries.texts[0], f"{explanation.query!r} is another query")
        named = explanation.explainer in (case.registered.name, case.registered.full_name)
        expect(named, f"the explainer is called {explanation.explainer!r}, not {case.registered.name!r}")


def adds_up(case: Case) -> None:
    """Contributions and remainder add up to the score that the target gives, or to the rank, where ranks are explained.

    An explainer that says it is ``exact`` leaves no remainder: to 1e-5 of the score that the target's list has.
    """
    found = explained(case)
    for rank, (explanation, score) in enumerate(zip(found.explanations, found.run.scores.tolist(), strict=True), 1):
        expect_close(explanation.total(), explanation.score, 1e-5, f"parts and {explanation.unit}")
        real = float(rank) if explanation.unit == "rank" else score
        what = f"explained and real {explanation.unit} of {explanation.document_id}"
        expect_close(explanation.score, real, case.tolerance, what)
        if found.is_exact:
            named = explanation.total() - explanation.remainder
            expect_close(named, real, 1e-5, f"the parts of an exact explainer, and the real {explanation.unit},")
            rest = [part for part in explanation.contributions if part.kind == "remainder"]
            expect(not rest, "an exact explainer names a remainder among its parts")


def points_into_texts(case: Case) -> None:
    """What is said to stand in the query or in the document stands there."""
    found = explained(case)
    for explanation, contents in zip(found.explanations, found.corpus.contents(found.run.rows), strict=True):
        sides = {"query": explanation.query, "document": explanation.text or contents}
        for part in _every(explanation.contributions):
            for side, text in sides.items():
                for _, end in part.spots(side):
                    expect(end <= len(text), f"{part.label!r} ends at {end}, behind its text")


def _every(parts: tuple[Contribution, ...]) -> Iterator[Contribution]:
    for part in parts:
        yield part
        yield from _every(part.children)


def shows_itself(case: Case) -> None:
    """It prints, and survives JSON; its numbers are finite."""
    for explanation in explained(case).explanations:
        expect(explanation.document_id in explanation.to_text(), "the text does not name the document")
        expect(explanation.to_html().startswith("<figure"), "the HTML is no figure")
        expect(all(isinstance(part, Contribution) for part in explanation.contributions), "a part is no Contribution")
        data = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
        expect(Explanation.from_json(data).to_json() == data, "JSON makes another explanation of it")


def is_deterministic(case: Case) -> None:
    """Two sessions with one seed explain alike, to the last bit."""
    first, second = (explained(case).explanations for _ in range(2))
    expect(
        [e.to_json() for e in first] == [e.to_json() for e in second], "two sessions with one seed explain otherwise"
    )


def takes_no_documents(case: Case) -> None:
    """No documents need no explanation."""
    context, corpus = case.context(), case.plain.corpus()
    target = _target(case, context)
    thing = target if isinstance(target, Pipeline) else context.make(target)
    expect(not list(case.make(context).explain(thing, "dog", [], corpus)), "no documents are explained")


PROMISES = {
    "explains every document": explains_every_document,
    "adds up": adds_up,
    "points into texts": points_into_texts,
    "shows itself": shows_itself,
    "is deterministic": is_deterministic,
    "takes no documents": takes_no_documents,
}
