"""What rerankers promise."""

from __future__ import annotations

import numpy as np

from spaniel.data import Corpus, Queries, Run
from spaniel.testing.case import Case, expect, expect_close, expect_close_runs, expect_run, expect_same_run
from spaniel.testing.collections import VARIANTS, collection

_DOCUMENTS = 12
"""Documents a list that is reranked."""


def input_run(queries: Queries, corpus: Corpus, documents: int = _DOCUMENTS) -> Run:
    """Return a run with scattered documents, in an order that has nothing to do with the queries."""
    rng = np.random.default_rng(7)
    size = min(documents, len(corpus))
    rows = np.array([rng.permutation(len(corpus))[:size] for _ in range(len(queries))], np.int32)
    scores = np.broadcast_to(np.arange(size, 0, -1, dtype=np.float32), (len(queries), size))
    return Run.from_matrix(rows.reshape(len(queries), size), scores)


def _rerank(
    case: Case, queries: Queries, corpus: Corpus, run: Run, batch_size: int | None = None, store: str = "store"
) -> Run:
    component = case.make(case.context(store, batch_size=batch_size))
    return expect_run(component.rerank(queries, run, corpus), queries, corpus, "rerank")


def adds_no_document(case: Case) -> None:
    """A list holds nothing that was not in it before, whatever the texts are like."""
    for variant in VARIANTS:
        made = collection(variant)
        corpus = made.corpus()
        run = input_run(made.queries, corpus)
        result = _rerank(case, made.queries, corpus, run)
        for query in range(len(run)):
            added = set(result.of(query)[0].tolist()) - set(run.of(query)[0].tolist())
            expect(not added, f"{variant}, query {query}: row {min(added, default=0)} was not in the list")


def keeps_lists_apart(case: Case) -> None:
    """A list is reranked as if it were alone."""
    queries, corpus = case.plain.queries, case.plain.corpus()
    run = input_run(queries, corpus)
    together = _rerank(case, queries, corpus, run)
    for query in range(len(queries)):
        alone = _rerank(case, queries.select([query]), corpus, run.select([query]))
        expect_close_runs(together.select([query]), alone, case.tolerance, f"query {query}, with the others and alone")


def is_deterministic(case: Case) -> None:
    """Two sessions with one seed give the same scores to the last bit."""
    queries, corpus = case.plain.queries, case.plain.corpus()
    run = input_run(queries, corpus)
    first, second = (_rerank(case, queries, corpus, run) for _ in range(2))
    expect_same_run(first, second, "two sessions with one seed")


def ignores_batch_size(case: Case) -> None:
    """Scores do not depend on how many pairs or lists are worked on at once."""
    queries, corpus = case.plain.queries, case.plain.corpus()
    run = input_run(queries, corpus)
    default = _rerank(case, queries, corpus, run)
    for size in (1, 5):
        # A store of its own, so that scores that were kept for one size are not taken for another's.
        other = _rerank(case, queries, corpus, run, size, f"store-{size}")
        expect_close_runs(default, other, case.tolerance, f"batches of {size}")


def takes_empty_lists(case: Case) -> None:
    """No queries, empty lists, and lists of one document are reranked like any other."""
    queries, corpus = case.plain.queries, case.plain.corpus()
    expect(len(_rerank(case, queries.select([]), corpus, Run.empty(0)).rows) == 0, "documents came from nowhere")
    expect(len(_rerank(case, queries, corpus, Run.empty(len(queries))).rows) == 0, "documents came from nowhere")
    mixed = Run.from_lists([[(0, 1.0)] if number % 2 else [] for number in range(len(queries))])
    lengths = _rerank(case, queries, corpus, mixed).lengths
    expect(bool((lengths <= mixed.lengths).all()), "a list grew")


def scores_pairs_by_themselves(case: Case) -> None:
    """Where it scores pairs, a score depends on its pair alone; no pairs have no scores."""
    component = case.make(case.context())
    if not hasattr(component, "score"):
        return
    texts = [document.contents for document in case.plain.documents[:9]]
    asked = [case.plain.queries.texts[number % 3] for number in range(len(texts))]
    scores = component.score(asked, texts)
    shape, dtype = getattr(scores, "shape", None), getattr(scores, "dtype", None)
    expect(shape == (9,) and dtype == np.float32, f"score returned {dtype} {shape} for 9 pairs, not float32 (9,)")
    expect_close(scores, component.score(asked[::-1], texts[::-1])[::-1], case.tolerance, "pairs in another order")
    alone = [float(component.score([query], [text])[0]) for query, text in zip(asked, texts, strict=True)]
    expect_close(scores, alone, case.tolerance, "pairs together and alone")
    expect(component.score([], []).shape == (0,), "no pairs must have no scores: shape (0,)")
    expect(hasattr(component, "fingerprint"), "what scores pairs says by fingerprint() what decides the scores")
    first, second = (case.make(case.context()).fingerprint() for _ in range(2))
    named = all(isinstance(key, str) and isinstance(value, str) for key, value in first.items())
    expect(named and dict(first) == dict(second), f"fingerprint() is a mapping of digests, always the same: {first!r}")


PROMISES = {
    "adds no document": adds_no_document,
    "keeps lists apart": keeps_lists_apart,
    "is deterministic": is_deterministic,
    "ignores batch size": ignores_batch_size,
    "takes empty lists": takes_empty_lists,
    "scores pairs by themselves": scores_pairs_by_themselves,
}
