"""Encoded corpora as artifacts, written in shards that resume, and encoded queries."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from spaniel.data import Corpus, Queries, Vectors, VectorWriter, open_vectors
from spaniel.errors import UsageError
from spaniel.expression import Expression
from spaniel.store import Artifact, Draft, Need, Recipe

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.pipeline import Bound
    from spaniel.protocols import Encoder

SHARD = 1024
"""Documents encoded in one call and synced together; a build that was killed loses at most one shard."""


def vectors_need(context: Context, encoder: Expression | str, corpus: Need) -> Need:
    """Name the vectors that an encoder makes of a corpus: every representation of its one pass; found out once a session."""
    bound = context.bind("encode", encoder)
    key = ("vectors", bound.digest, corpus.recipe.address)
    return context.once(key, lambda: _vectors_need(context, bound, corpus))


def _vectors_need(context: Context, bound: Bound, corpus: Need) -> Need:
    component: Encoder = context.make(bound)
    names = bound.registered.component.gives

    def build(draft: Draft) -> None:
        documents: Corpus = context.opened(draft.inputs[0], "corpus", lambda a: Corpus.open(a, corpus))
        advance = draft.progress(len(documents), "documents")
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(VectorWriter(draft.file(name), len(documents))) for name in sorted(names)
            }
            start = min(writer.next_row for writer in writers.values())
            advance(start)
            for batch in documents.batches(SHARD, start):
                texts = [document.contents for document in batch.documents]
                with context.following(len(texts), advance):
                    vectors = component.encode(texts, "document", [document.metadata for document in batch.documents])
                for name, writer in writers.items():
                    # After a kill between two writers, one of them is a shard ahead.
                    if writer.next_row == batch.start:
                        writer.append(vectors[name])
            for name, writer in writers.items():
                if writer.is_empty:
                    writer.append(component.encode([], "document")[name])
        draft.info["documents"] = len(documents)

    recipe = Recipe(
        type="vectors",
        component=bound.registered.full_name,
        version=bound.registered.version,
        config=bound.description["config"],
        seed=None,
        inputs={"corpus": corpus.recipe.address, **component.fingerprint("document")},
    )
    return Need(recipe, build, (corpus,))


def corpus_vectors(context: Context, encoder: Expression | str, corpus: Need, name: str) -> Vectors:
    """Obtain the vectors of a corpus and open one representation, memory-mapped."""
    return open_named(context, context.obtain(vectors_need(context, encoder, corpus)), name)


def open_named(context: Context, artifact: Artifact, name: str) -> Vectors:
    """Open one representation of an artifact of vectors.

    Raises:
        UsageError: the artifact holds no such representation.
    """
    held = sorted({file.partition("/")[0] for file in artifact.files if "/" in file})
    if name not in held:
        raise UsageError(f"there are no {name} vectors in {artifact.address}; there are {', '.join(held)}")
    vectors: Vectors = context.opened(artifact, name, lambda a: open_vectors(a.path / name))
    return vectors


def encode_queries(context: Context, encoder: Expression | str, queries: Queries) -> Mapping[str, Vectors]:
    """Encode queries; the vectors of a session's queries are made once."""
    bound = context.bind("encode", encoder)
    component: Encoder = context.make(bound)

    def encode() -> Mapping[str, Vectors]:
        with (
            context.stage(f"encode queries by {bound.registered.name}", len(queries), "queries"),
            context.following(len(queries), context.advance),
        ):
            return component.encode(queries.texts, "query", queries.metadata)

    return context.remember(f"queries {bound.digest} {queries.digest}", encode)
