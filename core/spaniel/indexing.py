"""Indexes as artifacts: what every retriever over an index shares."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spaniel.contents import CHECKER, CHECKS
from spaniel.data import Corpus, Run
from spaniel.data.filters import filter_mask
from spaniel.errors import ArtifactError, PluginError, SpanielError, UsageError
from spaniel.expression import Expression, Stage
from spaniel.store import Artifact, Draft, Need, Recipe
from spaniel.store.digests import digest_bytes

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.pipeline import Bound
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
    """Name the index that an indexer makes of a corpus or of vectors; options of searching are no part of its recipe.

    Args:
        context: the session.
        indexer: a component of kind ``index``.
        source: a need of type ``corpus``, or of type ``vectors``.
        name: which of the representations in the vectors is indexed.
    """
    bound = context.bind("index", indexer)
    key = ("index", bound.digest, source.recipe.address, name)
    return context.once(key, lambda: _index_need(context, bound, source, name))


def _index_need(context: Context, bound: Bound, source: Need, name: str) -> Need:
    component: Indexer = context.make(bound)
    config = bound.building["config"] | {"references": dict(component.fingerprint())}
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
    """Obtain an index and open it, once in a session; see :func:`open_needed`.

    Raises:
        ArtifactError: it came from elsewhere, and does not hold as many documents as its source.
    """
    need = index_need(context, indexer, source, name)
    return _open(context, indexer, need, source.recipe)


def open_needed(context: Context, indexer: Expression | str, need: Need) -> Index:
    """Obtain the index that :func:`index_need` or :func:`changed_need` named and open it, once in a session.

    It is shared, and so not to be changed. Other options of searching are another object over the same artifact.

    Raises:
        ArtifactError: it is damaged, or holds what it must not; see :meth:`spaniel.protocols.Indexer.check`.
    """
    return _open(context, indexer, need, None)


def _open(context: Context, indexer: Expression | str, need: Need, source: Recipe | None) -> Index:
    bound = context.bind("index", indexer)
    component: Indexer = context.make(bound)

    def open_(artifact: Artifact) -> Index:
        index = _open_checked(context, component, artifact)
        if source is not None and not context.store.is_own(artifact):
            documents = context.store.noted(source.address).get("documents", len(index))
            if documents != len(index):
                what = f"holds {len(index)} documents, and its source {documents}; remove it and build it again"
                raise ArtifactError(artifact.path, what)
        return index

    opened: Index = context.open(need, f"index {bound.digest}", open_)
    return opened


def check_index(context: Context, component: Indexer, artifact: Artifact) -> None:
    """Have an indexer look through an index, where this store has neither built it nor had it looked through.

    Raises:
        ArtifactError: it holds what it must not, or the indexer has no check.
    """
    context.store.checked(artifact, _name_checker(component), lambda given: _check(component, given))


def check_artifact(context: Context, artifact: Artifact) -> str:
    """Look through the contents of any artifact, whether or not that was done before.

    Returns:
        Who looked, as :meth:`spaniel.store.Store.checked` is told; empty where nobody could, since the component or the
        version that made it is not installed, or since its type is none that is looked through.

    Raises:
        ArtifactError: it holds what it must not.
    """
    recipe = artifact.recipe
    if recipe.type != "index":
        check = CHECKS.get(recipe.type)
        if check is not None:
            with _refused(artifact):
                check(artifact)
        return CHECKER if check is not None else ""
    try:
        bound = context.bind("index", _stage_of(context, recipe.component, recipe.config))
        if bound.registered.version != recipe.version:
            return ""
        component = context.make(bound)
    except (UsageError, PluginError):
        return ""
    _check(component, artifact)
    return _name_checker(component)


def _open_checked(context: Context, component: Indexer, artifact: Artifact) -> Index:
    check_index(context, component, artifact)
    with _refused(artifact):
        return component.open(artifact)


def _check(component: Indexer, artifact: Artifact) -> None:
    check = getattr(component, "check", None)
    if check is None:
        raise ArtifactError(
            artifact.path,
            f"was not built in this store, and `{artifact.recipe.component}` cannot check what it holds: build it here, or "
            "import it with --trust if you know who made it",
        )
    with _refused(artifact):
        check(artifact)


@contextmanager
def _refused(artifact: Artifact) -> Iterator[None]:
    """Turn what contents make a component raise into an error that names the artifact; panics of compiled code, too."""
    try:
        yield
    except (SpanielError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        what = f"cannot be opened ({type(error).__name__}: {error}); remove it and build it again"
        raise ArtifactError(artifact.path, what) from error


def _name_checker(component: Indexer) -> str:
    """Return what changes with the code of a check: the class, and the room that it is written in."""
    kind = type(component)
    room = getattr(sys.modules.get(kind.__module__), "__file__", None)
    code = digest_bytes(Path(room).read_bytes()) if room and Path(room).is_file() else ""
    return f"{kind.__module__}.{kind.__qualname__} {code[:16]}"


def _stage_of(context: Context, name: str, config: Mapping[str, Any]) -> Stage:
    """Return the expression whose options a recipe holds; options of searching are left to their defaults."""
    registered = context.registry.find("index", name)
    fields = registered.config_model().model_fields if registered.component.config else {}
    options = {field: _plain_option(context, config[field]) for field in fields if field in config}
    return Stage(name, **options)


def _plain_option(context: Context, value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_option(context, one) for one in value]
    if isinstance(value, dict) and {"component", "kind", "config"} <= value.keys():
        return Stage(value["component"], **{k: _plain_option(context, v) for k, v in value["config"].items()})
    return value


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
        index: LivingIndex = _open_checked(context, component, draft.inputs[0])  # type: ignore[assignment]
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
    corpus: Corpus = context.open(need, "corpus", lambda artifact: Corpus.open(artifact, need))
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
