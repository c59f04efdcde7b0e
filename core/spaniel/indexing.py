"""Indexes as artifacts: what every retriever over an index shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spaniel.data import Corpus
from spaniel.expression import Expression
from spaniel.store import Artifact, Draft, Need, Recipe

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.protocols import Index, Indexer


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
        seed=context.seed,
        inputs={source.recipe.type: source.recipe.address},
    )
    return Need(recipe, build, (source,))


def open_index(context: Context, indexer: Expression | str, source: Need, name: str = "") -> Index:
    """Obtain an index and open it, once in a session."""
    artifact = context.obtain(index_need(context, indexer, source, name))
    component: Indexer = context.create("index", indexer)
    opened: Index = context.opened(artifact, "index", component.open)
    return opened


def open_corpus(context: Context, need: Need) -> Corpus:
    """Obtain a corpus and open it, once in a session."""
    corpus: Corpus = context.opened(context.obtain(need), "corpus", lambda artifact: Corpus.open(artifact, need))
    return corpus


def _open_source(context: Context, artifact: Artifact, source: Need, name: str) -> Any:
    if source.recipe.type == "corpus":
        return context.opened(artifact, "corpus", lambda a: Corpus.open(a, source))
    from spaniel.encoding import open_named

    return open_named(context, artifact, name)
