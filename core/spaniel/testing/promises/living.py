"""What indexes promise that take in documents and let them go."""

from __future__ import annotations

from typing import Any

import numpy as np

from spaniel.context import Context
from spaniel.data import Corpus, Run, SparseVectors, Vectors
from spaniel.encoding import open_named
from spaniel.errors import UsageError
from spaniel.indexing import Change, changed_need, index_need, open_index, open_needed
from spaniel.testing.case import Case, expect, expect_close_runs, expect_same_run
from spaniel.testing.collections import collection
from spaniel.testing.promises.sources import Source, clustered, sources, vectors_of

_K = 10


def _open(case: Case, context: Context, source: Source) -> Any:
    """Open an index that is no one else's."""
    artifact = context.obtain(index_need(context, case.expression, source.need, source.name))
    return case.make(context).open(artifact)


def _parts(case: Case, context: Context) -> list[tuple[Source, Source, Source]]:
    """Return, for each thing that the component takes, a whole, its first half and its second half."""
    parts = []
    takes = case.registered.component.takes
    for source in [*sources(case), *(clustered(taken) for taken in takes if taken == "dense")]:
        half = source.size // 2
        if source.name:
            vectors = open_named(context, context.obtain(source.need), source.name)
            halves = [vectors_of(_copied(v), f"half-{n}") for n, v in enumerate((vectors[:half], vectors[half:]))]
            sizes = [half, source.size - half]
        else:
            made = collection("odd")
            ordered = sorted(made.documents, key=lambda document: document.id, reverse=True)
            corpora = [Corpus.from_documents(ordered[:half]), Corpus.from_documents(ordered[half:])]
            # Their files live as long as they do.
            case.__dict__.setdefault("kept", []).extend(corpora)
            halves, sizes = [corpus.need for corpus in corpora], [len(corpus) for corpus in corpora]
        first, second = (source._replace(need=n, size=s, twins=()) for n, s in zip(halves, sizes, strict=True))
        parts.append((source, first, second))
    return parts


def _copied(vectors: Vectors) -> Vectors:
    return vectors.take(np.arange(len(vectors)))


def _is_exact(case: Case, context: Context) -> bool:
    return float(getattr(case.make(context), "recall", 1.0)) == 1


def adds_documents(case: Case) -> None:
    """Half of the documents, and the rest added, answer as all of them do; rows are those that were given."""
    context = case.context("adds")
    if not case.make(context).can_add:
        return
    for whole, first, second in _parts(case, context):
        all_of_it = open_index(context, case.expression, whole.need, whole.name)
        base = index_need(context, case.expression, first.need, first.name)
        rows = list(range(first.size, whole.size))
        need = changed_need(context, case.expression, base, Change((), second.need, rows), first.name)
        expect(need.recipe.address != base.recipe.address, "a changed index has the address of its base")
        expect(need.recipe.inputs.get("base") == base.recipe.address, "the recipe of a changed index names no base")
        grown = open_needed(context, case.expression, need)
        expect(
            len(grown) == whole.size, f"{len(grown)} documents are held after {second.size} were added to {first.size}"
        )
        found, expected = (index.search(whole.queries, _K) for index in (grown, all_of_it))
        expect(np.array_equal(found.lengths, expected.lengths), "after adding: lists of other lengths")
        if _is_exact(case, context):
            expect_close_runs(expected, found, case.tolerance, "after adding")
        again = open_needed(case.context("adds"), case.expression, need)
        expect_same_run(found, again.search(whole.queries, _K), "a grown index, opened again")
        untouched = open_needed(context, case.expression, base)
        expect(len(untouched) == first.size, "the base has changed with the index that was made of it")


def keeps_given_rows(case: Case) -> None:
    """Rows with gaps and in any order are kept, in memory and on disk, and decide ties."""
    context = case.context("rows")
    if not case.make(context).can_add:
        return
    for whole, first, second in _parts(case, context)[:1]:
        rows = [1000 + 3 * (second.size - position) for position in range(second.size)]
        index = _open(case, context, first)
        index.add(_source(context, second), np.array(rows))
        found = index.search(whole.queries, whole.size)
        known = {*range(first.size), *rows}
        expect(set(found.rows.tolist()) <= known, "it returns rows that nobody gave")
        expect(bool((found.rows >= 1000).any()), "no added document is ever found")
        ordered = Run.build(found.offsets, found.rows, found.scores)
        expect(np.array_equal(ordered.rows, found.rows), "a list is out of order: score descending, then row ascending")
        base = index_need(context, case.expression, first.need, first.name)
        need = changed_need(context, case.expression, base, Change((), second.need, rows), first.name)
        saved = open_needed(context, case.expression, need).search(whole.queries, whole.size)
        expect_close_runs(found, saved, case.tolerance, "saved with given rows")


def deletes_documents(case: Case) -> None:
    """What was deleted is found no more, the rest as before; saved and opened it is the same."""
    context = case.context("deletes")
    if not case.make(context).can_delete:
        return
    for whole, _, _ in _parts(case, context):
        index = _open(case, context, whole)
        gone = list(range(0, whole.size, 3))
        index.delete(np.array(gone))
        expect(len(index) == whole.size - len(gone), f"{len(index)} of {whole.size} are held, {len(gone)} were deleted")
        found = index.search(whole.queries, _K)
        expect(not np.isin(found.rows, gone).any(), "a deleted document is found")
        base = index_need(context, case.expression, whole.need, whole.name)
        need = changed_need(context, case.expression, base, Change(gone), whole.name)
        saved = open_needed(context, case.expression, need)
        expect(len(saved) == len(index), "saved after deleting, it holds another number of documents")
        after = saved.search(whole.queries, _K)
        expect(not np.isin(after.rows, gone).any(), "a deleted document is found once the index is saved")
        expect(np.array_equal(found.lengths, after.lengths), "saved after deleting: lists of other lengths")
        if whole.name and _is_exact(case, context):
            expect_close_runs(found, after, case.tolerance, "saved after deleting")
            everything = open_index(context, case.expression, whole.need, whole.name).search(whole.queries, whole.size)
            keep = ~np.isin(everything.rows, gone)
            offsets = np.concatenate([[0], np.cumsum(keep)])[everything.offsets]
            rest = Run.build(offsets, everything.rows[keep], everything.scores[keep]).cut(_K)
            expect_close_runs(rest, found, case.tolerance, "after deleting")
        index.delete(np.setdiff1d(np.arange(whole.size), gone))
        expect(len(index) == 0, f"{len(index)} documents are held after all were deleted")
        expect(not len(index.search(whole.queries, _K).rows), "documents are found after all were deleted")


def refuses_wrong_changes(case: Case) -> None:
    """Rows that are held, missing, twice or out of range are a :class:`UsageError`, and change nothing."""
    context = case.context("refuses")
    component = case.make(context)
    if not (component.can_add or component.can_delete):
        return
    for whole, first, second in _parts(case, context)[:1]:
        index = _open(case, context, first)
        before = index.search(whole.queries, _K)
        fresh = np.arange(first.size, first.size + second.size)
        wrong: list[tuple[str, Any]] = []
        if component.can_delete:
            wrong += [("delete", (np.array(rows),)) for rows in ([first.size], [0, 0], [-1])]
        if component.can_add:
            added = _source(context, second)
            twice, low = fresh.copy(), fresh.copy()
            twice[1], low[0] = twice[0], -1
            wrong += [("add", (added, rows)) for rows in (np.arange(second.size), twice, low, fresh[:-1])]
            if first.name == "dense":
                wrong.append(
                    (
                        "add",
                        (
                            SparseVectors(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), 4),
                            fresh[:0],
                        ),
                    )
                )
        for name, arguments in wrong:
            try:
                getattr(index, name)(*arguments)
            except UsageError:
                expect(len(index) == first.size, f"a refused {name} leaves {len(index)} documents of {first.size}")
                continue
            raise AssertionError(
                f"{name}{arguments[-1].tolist()} is accepted by an index of rows 0 to {first.size - 1}"
            )
        expect_same_run(before, index.search(whole.queries, _K), "after changes that were refused")


def says_what_it_cannot(case: Case) -> None:
    """A change that the indexer cannot make is a :class:`UsageError` before anything is built."""
    context = case.context("cannot")
    component = case.make(context)
    (source, *_) = sources(case)
    base = index_need(context, case.expression, source.need, source.name)
    for can, change in (
        (component.can_add, Change((), source.need, range(source.size, 2 * source.size))),
        (component.can_delete, Change([0])),
    ):
        if not can:
            try:
                changed_need(context, case.expression, base, change, source.name)
            except UsageError:
                continue
            raise AssertionError("a change is planned that the indexer says it cannot make")


def _source(context: Context, source: Source) -> Any:
    if source.name:
        return open_named(context, context.obtain(source.need), source.name)
    return Corpus.open(context.obtain(source.need), source.need)


PROMISES = {
    "adds documents": adds_documents,
    "keeps given rows": keeps_given_rows,
    "deletes documents": deletes_documents,
    "refuses wrong changes": refuses_wrong_changes,
    "says what it cannot": says_what_it_cannot,
}
