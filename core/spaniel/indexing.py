"""Indexes as artifacts: what every retriever over an index shares."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spaniel.data import Corpus, Run
from spaniel.data.filters import filter_mask
from spaniel.errors import UsageError
from spaniel.expression import Expression
from spaniel.store import Artifact, Draft, Need, Recipe

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.protocols import Index, Indexer, LivingIndex


class Change(NamedTuple):
    """What becomes of an index: first documents are deleted, then others are added.

    Attributes:
        deleted: rows of the documents that go.
        added: the documents that come: a need of the type that the index was built from.
        rows: the row of each document that comes, in the order of ``added``; see :class:`spaniel.protocols.Index`.
    """

    deleted: Sequence[int] = ()
    added: Need | None = None
    rows: Sequence[int] = ()


def index_need(context: Context, indexer: Expression | str, source: Need, name: str = "") -> Need:
    """Name the index that an indexer makes of a corpus or of vectors.

    Args:
        context: the session.
        indexer: a component of kind ``index``.
        source: a need of type ``corpus``, or of type ``vectors``.
        name: which of the representations in the vectors is indexed.
    """
    bound = context.bind("index", indexer)
    component: Indexer = context.make(bound)
    config = bound.description["config"] | {"references": dict(component.fingerprint())}
    if name:
        config["representation"] = name

    def build(draft: Draft) -> None:
        component.build(_open_source(context, draft.inputs[0], source, name), draft)

    recipe = Recipe(
        type="index",
        component=bound.registered.full_name,
        version=bound.registered.version,
        config=config,
        seed=context.seed if getattr(component, "is_random", False) else None,
        inputs={source.recipe.type: source.recipe.address},
    )
    return Need(recipe, build, (source,))


def open_index(context: Context, indexer: Expression | str, source: Need, name: str = "") -> Index:
    """Obtain an index and open it, once in a session."""
    return open_needed(context, indexer, index_need(context, indexer, source, name))


def open_needed(context: Context, indexer: Expression | str, need: Need) -> Index:
    """Obtain the index that :func:`index_need` or :func:`changed_need` named and open it, once in a session.

    It is shared, and so not to be changed.
    """
    component: Indexer = context.create("index", indexer)
    opened: Index = context.opened(context.obtain(need), "index", component.open)
    return opened


def changed_need(context: Context, indexer: Expression | str, base: Need, change: Change, name: str = "") -> Need:
    """Name the index that a change makes of another, which stays as it is; its recipe names the base and the change.

    Args:
        context: the session.
        indexer: the component that made the base.
        base: a need that :func:`index_need` or this function returned.
        change: what is deleted and added.
        name: which of the representations in the added vectors is taken.

    Raises:
        UsageError: the indexer cannot add or delete, or the rows do not fit what is added.
    """
    component: Indexer = context.create("index", indexer)
    for wanted, can, what in (
        (len(change.deleted), component.can_delete, "delete"),
        (change.added is not None, component.can_add, "add"),
    ):
        if wanted and not can:
            raise UsageError(f"an index by `{indexer}` cannot {what} documents; build it again from the changed corpus")
    if change.added is None and len(change.rows):
        raise UsageError(f"{len(change.rows)} rows for documents to add, and no documents")

    def build(draft: Draft) -> None:
        # Opened anew: what the session shares is not to be changed.
        index: LivingIndex = component.open(draft.inputs[0])  # type: ignore[assignment]
        if len(change.deleted):
            index.delete(np.asarray(change.deleted, np.int64))
        if change.added is not None:
            source = _open_source(context, draft.inputs[1], change.added, name)
            index.add(source, np.asarray(change.rows, np.int64))
        index.save(draft)

    recipe, added = base.recipe, change.added
    inputs = {"base": recipe.address, **({added.recipe.type: added.recipe.address} if added else {})}
    digests = {field: _digest_rows(rows) for field, rows in (("deleted", change.deleted), ("rows", change.rows))}
    config = {**recipe.config, "change": digests}
    made = Recipe("index", recipe.component, recipe.version, config, recipe.seed, inputs)
    return Need(made, build, (base, added) if added else (base,))


def check_filter(context: Context, indexer: Expression | str, text: str | None) -> None:
    """Check that an indexer's indexes can search under a filter, where there is one.

    Raises:
        UsageError: they cannot.
    """
    component: Indexer = context.create("index", indexer)
    if text is not None and not component.can_filter:
        raise UsageError(f"an index by `{indexer}` cannot filter: leave `filter` out, or choose another index")


def allowed_rows(context: Context, corpus: Corpus, text: str | None) -> NDArray[np.bool_] | None:
    """Return which rows a filter lets through, for :meth:`spaniel.protocols.Index.search`; asked once in a session.

    Args:
        context: the session.
        corpus: the documents.
        text: the filter, see :mod:`spaniel.data.filters`; ``None`` for none.

    Raises:
        UsageError: the text is no filter.
    """
    if text is None:
        return None
    return context.remember(f"filter {corpus.address} {text}", lambda: filter_mask(corpus, text))


def merge_runs(runs: Sequence[Run], k: int) -> Run:
    """Return the ``k`` best of each query over several runs, which have the same queries and no document in common.

    Exact under the tie rule: what is merged from the ``k`` best of parts is the ``k`` best of the whole.
    """
    owners = np.concatenate([np.empty(0, np.int64), *(run.owners for run in runs)])
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(runs[0]) if runs else 0)
    rows = np.concatenate([np.empty(0, np.int32), *(run.rows for run in runs)])[order]
    scores = np.concatenate([np.empty(0, np.float32), *(run.scores for run in runs)])[order]
    return Run.build(np.concatenate([[0], np.cumsum(counts)]), rows, scores).cut(k)


def open_corpus(context: Context, need: Need) -> Corpus:
    """Obtain a corpus and open it, once in a session."""
    corpus: Corpus = context.opened(context.obtain(need), "corpus", lambda artifact: Corpus.open(artifact, need))
    return corpus


def _open_source(context: Context, artifact: Artifact, source: Need, name: str) -> Any:
    if source.recipe.type == "corpus":
        return context.opened(artifact, "corpus", lambda a: Corpus.open(a, source))
    from spaniel.encoding import open_named

    return open_named(context, artifact, name)


def _digest_rows(rows: Sequence[int]) -> str:
    """Return what tells rows apart in a recipe, however many there are."""
    text = ",".join(str(int(row)) for row in rows)
    return f"{len(rows)} rows, sha256 {hashlib.sha256(text.encode()).hexdigest()}" if len(rows) else "none"
