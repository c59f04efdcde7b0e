"""What retrievers promise."""

from __future__ import annotations

from spaniel.context import Context
from spaniel.data import Corpus, Queries, Run
from spaniel.store import Need
from spaniel.testing.case import Case, expect, expect_close_runs, expect_run, expect_same_run
from spaniel.testing.collections import VARIANTS, collection
from spaniel.testing.promises.rerank import input_run


def _earlier(case: Case, queries: Queries, corpus: Corpus) -> Run | None:
    """Return an earlier run for those that need one as feedback."""
    follows = case.context().bind(case.kind, case.expression).follows
    return input_run(queries, corpus) if follows == "must" else None


def _retrieve(case: Case, context: Context, queries: Queries, corpus: Corpus) -> Run:
    component = case.make(context)
    for need in component.needs(corpus.need):
        context.obtain(need)
    run = component.retrieve(queries, corpus, _earlier(case, queries, corpus))
    return expect_run(run, queries, corpus, "retrieve")


def names_its_needs(case: Case) -> None:
    """What it needs has the same addresses in every session, and naming it builds nothing."""
    corpus = case.plain.corpus()
    addresses = []
    for _ in range(2):
        context = case.context()
        needs = list(case.make(context).needs(corpus.need))
        expect(all(isinstance(need, Need) for need in needs), "needs returned something that is no Need")
        expect(not list(context.store.list()), "naming the needs built them")
        addresses.append([need.recipe.address for need in needs])
    expect(addresses[0] == addresses[1], "two sessions name other needs")


def finds_again_what_it_built(case: Case) -> None:
    """A later session opens what an earlier one built, builds nothing, and retrieves the same."""
    corpus = case.plain.corpus()
    first = _retrieve(case, case.context(), case.plain.queries, corpus)
    context = case.context()
    before = len(list(context.store.list()))
    second = _retrieve(case, context, case.plain.queries, corpus)
    expect(len(list(context.store.list())) == before, "the second session built something again")
    expect_same_run(first, second, "after opening again")


def is_deterministic(case: Case) -> None:
    """Two sessions that build everything anew with one seed give the same scores to the last bit."""
    corpus = case.plain.corpus()
    first, second = (
        _retrieve(case, case.context(store), case.plain.queries, corpus) for store in ("one store", "another store")
    )
    expect_same_run(first, second, "two sessions with one seed")


def ignores_batch_size(case: Case) -> None:
    """Scores do not depend on how many texts are worked on at once."""
    corpus = case.plain.corpus()
    default = _retrieve(case, case.context(), case.plain.queries, corpus)
    for size in (1, 5):
        run = _retrieve(case, case.context(f"batches of {size}", batch_size=size), case.plain.queries, corpus)
        expect_close_runs(default, run, case.tolerance, f"batches of {size}")


def keeps_queries_apart(case: Case) -> None:
    """A query is answered as if it were alone."""
    queries, corpus = case.plain.queries, case.plain.corpus()
    context = case.context()
    component = case.make(context)
    earlier = _earlier(case, queries, corpus)
    together = _retrieve(case, context, queries, corpus)
    for query in range(len(queries)):
        feedback = None if earlier is None else earlier.select([query])
        alone = component.retrieve(queries.select([query]), corpus, feedback)
        expect_close_runs(together.select([query]), alone, case.tolerance, f"query {query}, with the others and alone")


def takes_any_texts(case: Case) -> None:
    """No documents, no queries, odd, foreign and long texts give runs like any other."""
    for variant in VARIANTS:
        made = collection(variant)
        corpus = made.corpus()
        run = _retrieve(case, case.context(variant), made.queries, corpus)
        expect(bool((run.lengths <= len(corpus)).all()), f"{variant}: a list is longer than the corpus")
    run = _retrieve(case, case.context("plain"), case.plain.queries.select([]), case.plain.corpus())
    expect(len(run) == 0, "no queries must have no lists")


def returns_k_documents(case: Case) -> None:
    """Where it has an option ``k``, no list is longer."""
    config = case.context().bind(case.kind, case.expression).config
    k = getattr(config, "k", None)
    if not isinstance(k, int):
        return
    run = _retrieve(case, case.context(), case.plain.queries, case.plain.corpus())
    expect(bool((run.lengths <= k).all()), f"a list is longer than k={k}")


PROMISES = {
    "names its needs": names_its_needs,
    "finds again what it built": finds_again_what_it_built,
    "is deterministic": is_deterministic,
    "ignores batch size": ignores_batch_size,
    "keeps queries apart": keeps_queries_apart,
    "takes any texts": takes_any_texts,
    "returns k documents": returns_k_documents,
}
