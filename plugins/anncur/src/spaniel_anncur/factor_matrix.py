"""The fitted vectors of a corpus as an artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from spaniel import ArtifactError, Corpus
from spaniel.data import DenseVectors, VectorWriter, topk
from spaniel.encoding import open_named, vectors_need
from spaniel.store import Draft, Need, Recipe, canonical_json, digest_bytes

from spaniel_anncur.factors import BLOCK, fit_factors
from spaniel_anncur.matrix import NAME, choose_queries
from spaniel_anncur.scoring import PairScorer

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact

    from spaniel_anncur.config import AxnConfig

QUERIES = 32
"""Anchor queries whose pairs are scored in one go and kept together."""
_SIDE = "query.safetensors"


def factors_need(context: Context, config: AxnConfig, corpus: Need) -> Need:
    """Name the fitted vectors of a corpus. The scores that they are fitted to outlive a kill, 32 queries at a time.

    Raises:
        UsageError: the scorer does not score pairs, or there are no anchor queries.
    """
    scorer = PairScorer(context, config.scorer)
    texts = choose_queries(context, config)
    encoded = vectors_need(context, config.encoder, corpus)

    def build(draft: Draft) -> None:
        documents: Corpus = context.opened(draft.inputs[0], "corpus", lambda a: Corpus.open(a, corpus))
        vectors = cast(DenseVectors, open_named(context, draft.inputs[1], NAME))
        encoder = context.create("encode", config.encoder)
        queries = plain_values(encoder.encode(texts, "query")[NAME])
        owners, rows = choose_pairs(queries, vectors, config.per_query, context.rng("anncur", "pairs"))
        advance = draft.progress(len(texts), "queries")
        parts: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), QUERIES):
            path = draft.file(f"scores/{start:09d}.npy")
            part = (owners >= start) & (owners < start + QUERIES)
            if not draft.done(path.name):
                np.save(path, scorer.score(texts, owners[part], rows[part], documents), allow_pickle=False)
                draft.finish(path.name, path)
            parts.append(np.load(path, allow_pickle=False))
            advance(min(QUERIES, len(texts) - start))
        seed = context.seed_for("anncur", "factors") % 2**31
        made = fit_factors(queries, plain_values(vectors), owners, rows, np.concatenate(parts), config, seed)
        save_file(made.query, draft.file(_SIDE))
        with VectorWriter(draft.file(NAME), len(documents)) as writer:
            for start in range(writer.next_row, len(documents), BLOCK):
                writer.append(DenseVectors(made.documents[start : start + BLOCK].astype(config.dtype), "dot"))
            if writer.is_empty:
                writer.append(DenseVectors(made.documents.astype(config.dtype), "dot"))
        draft.info.update(documents=len(documents), queries=len(texts), pairs=len(rows), losses=list(made.losses))

    recipe = Recipe(
        type="vectors",
        component="spaniel-anncur/score-factors",
        version=context.bind("index", "cur").registered.version,
        config={
            "scorer": scorer.identity(),
            "queries": digest_bytes(canonical_json(texts)),
            **{name: getattr(config, name) for name in _FITTED},
        },
        seed=context.seed,
        inputs={"corpus": corpus.recipe.address, "vectors": encoded.recipe.address},
    )
    return Need(recipe, build, (corpus, encoded, *scorer.needs(corpus)))


_FITTED = ("per_query", "factors", "epochs", "learning_rate", "dtype")


def query_side(artifact: Artifact) -> dict[str, Any]:
    """Return what makes a query's vector of the encoder's, for :func:`spaniel_anncur.factors.query_vectors`.

    Raises:
        ArtifactError: it is damaged.
    """
    path = artifact.file(_SIDE)
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(path, f"is damaged ({error}); remove it and build it again") from error


def choose_pairs(
    queries: NDArray[np.float32], documents: DenseVectors, per_query: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs to score: of each query half the encoder's best documents, half others at random.

    Returns:
        owners and rows, ``(pairs,)`` int64 each; owners ascend, and no pair comes twice.
    """
    count = min(per_query, len(documents))
    best, _ = topk(DenseVectors(queries).dot(documents), (count + 1) // 2)
    rows = np.empty((len(queries), count), np.int64)
    for query, found in enumerate(best):
        left = np.setdiff1d(np.arange(len(documents)), found)
        rows[query] = np.concatenate([found, rng.choice(left, count - len(found), replace=False)])
    return np.repeat(np.arange(len(queries)), count), rows.reshape(-1)


def plain_values(vectors: Any) -> NDArray[np.float32]:
    """Return dense vectors as float32, brought to length 1 under the cosine."""
    values = np.asarray(vectors.values, np.float32)
    if vectors.metric == "cosine":
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return values
