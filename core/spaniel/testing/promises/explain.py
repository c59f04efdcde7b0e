"""What explainers promise."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from spaniel.data import Corpus, Run
from spaniel.errors import UsageError
from spaniel.explanation import Contribution, Explanation
from spaniel.pipeline import Bound
from spaniel.testing.case import Case, expect, expect_close
from spaniel.testing.promises.rerank import input_run


class Explained(NamedTuple):
    """Explanations of a target's scores, with the run that has the scores."""

    explanations: list[Explanation]
    run: Run
    corpus: Corpus
    target: Bound


def explained(case: Case) -> Explained:
    """Explain the scores of the best documents of the first query.

    Raises:
        AssertionError: nothing that it explains is installed.
    """
    context, corpus = case.context(), case.plain.corpus()
    target = _target(case)
    component = context.make(target)
    queries = case.plain.queries.select([0])
    if target.kind == "rerank":
        run = component.rerank(queries, input_run(queries, corpus), corpus)
    else:
        for need in component.needs(corpus.need):
            context.obtain(need)
        run = component.retrieve(queries, corpus, None)
    run = run.cut(4)
    expect(len(run.rows) > 0, f"`{target.expression}` finds nothing to explain")
    explainer: Any = case.make(context)
    made = list(explainer.explain(component, queries.texts[0], run.rows.tolist(), corpus))
    return Explained(made, run, corpus, target)


def _target(case: Case) -> Bound:
    takes = case.registered.component.takes
    for taken in takes:
        kind, _, name = taken.partition("/")
        if case.target is None and not case.registry.has(kind, name):
            continue
        expression = case.target if case.target is not None else name
        try:
            bound = case.context().bind(kind, expression)
        except UsageError:
            continue
        if f"{bound.kind}/{bound.registered.name}" in takes:
            return bound
    what = case.target or "any of it without options; give contract(…, target=…)"
    raise AssertionError(f"the component explains {', '.join(takes) or 'nothing'}; there is no way to make {what}")


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
    """Contributions and remainder add up to the score that the target gives."""
    found = explained(case)
    for explanation, score in zip(found.explanations, found.run.scores.tolist(), strict=True):
        expect_close(explanation.total(), explanation.score, 1e-5, "parts and score")
        expect_close(explanation.score, score, case.tolerance, f"explained and real score of {explanation.document_id}")


def shows_itself(case: Case) -> None:
    """It prints, and survives JSON; its numbers are finite."""
    for explanation in explained(case).explanations:
        expect(explanation.document_id in explanation.to_text(), "the text does not name the document")
        expect(explanation.to_html().startswith("<figure"), "the HTML is no figure")
        expect(json.loads(json.dumps(explanation.to_json(), allow_nan=False)) is not None, "there is no JSON of it")
        expect(all(isinstance(part, Contribution) for part in explanation.contributions), "a part is no Contribution")


def is_deterministic(case: Case) -> None:
    """Two sessions with one seed explain alike, to the last bit."""
    first, second = (explained(case).explanations for _ in range(2))
    expect(
        [e.to_json() for e in first] == [e.to_json() for e in second], "two sessions with one seed explain otherwise"
    )


def takes_no_documents(case: Case) -> None:
    """No documents need no explanation."""
    context, corpus = case.context(), case.plain.corpus()
    target = context.make(_target(case))
    expect(not list(case.make(context).explain(target, "dog", [], corpus)), "no documents are explained")


PROMISES = {
    "explains every document": explains_every_document,
    "adds up": adds_up,
    "shows itself": shows_itself,
    "is deterministic": is_deterministic,
    "takes no documents": takes_no_documents,
}
