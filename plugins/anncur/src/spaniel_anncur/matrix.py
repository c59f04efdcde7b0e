"""The scores of anchor queries with all documents, as vectors of the documents; built in shards that outlive a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from spaniel import ArtifactError, Corpus, Queries, UsageError
from spaniel.data import DenseVectors, VectorWriter, read_queries
from spaniel.learning import Lesson
from spaniel.store import Draft, Need, Recipe, canonical_json, digest_bytes

from spaniel_anncur.scoring import PairScorer

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact

    from spaniel_anncur.config import AxnConfig, MatrixConfig

SHARD = 256
"""Documents scored with all anchor queries in one go and synced together."""
NAME = "dense"
_TEXTS = "queries.json"
_DOCUMENTS = "documents"


def matrix_need(context: Context, config: MatrixConfig, corpus: Need) -> Need:
    """Name the score matrix of a corpus: for each document its scores with the anchor queries, as a dense vector.

    The scores of a shard are one part of the build: after a kill no shard that was finished is scored again. The recipe
    holds the digest of the scorer and that of the anchor queries.

    Raises:
        UsageError: the scorer does not score pairs, or there are no anchor queries.
    """
    scorer = PairScorer(context, config.scorer)
    chosen = None if config.queries == _DOCUMENTS else choose_queries(context, config)

    def build(draft: Draft) -> None:
        documents: Corpus = context.opened(draft.inputs[0], "corpus", lambda a: Corpus.open(a, corpus))
        texts, rows_of_texts = (chosen, None) if chosen is not None else beginnings(context, config, documents)
        said = {"texts": texts, "rows": rows_of_texts}
        draft.file(_TEXTS).write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
        advance = draft.progress(len(documents), "documents")
        with VectorWriter(draft.file(NAME), len(documents)) as writer:
            advance(writer.next_row)
            for start in range(writer.next_row, len(documents), SHARD):
                rows = np.arange(start, min(start + SHARD, len(documents)))
                owners, listed = np.repeat(np.arange(len(texts)), len(rows)), np.tile(rows, len(texts))
                scores = scorer.score(texts, owners, listed, documents).reshape(len(texts), len(rows))
                writer.append(DenseVectors(np.ascontiguousarray(scores.T).astype(config.dtype), "dot"))
                advance(len(rows))
            if writer.is_empty:
                writer.append(DenseVectors(np.zeros((0, len(texts)), config.dtype), "dot"))
        draft.info.update(documents=len(documents), queries=len(texts), pairs=len(documents) * len(texts))

    recipe = Recipe(
        type="vectors",
        component="spaniel-anncur/score-matrix",
        version=context.bind("index", "cur").registered.version,
        config={
            "scorer": scorer.identity(),
            "queries": _DOCUMENTS if chosen is None else digest_bytes(canonical_json(chosen)),
            "anchor_queries": config.anchor_queries,
            "words": config.words if chosen is None else None,
            "dtype": config.dtype,
        },
        seed=context.seed,
        inputs={"corpus": corpus.recipe.address},
    )
    return Need(recipe, build, (corpus, *scorer.needs(corpus)))


class AnchorQueries(NamedTuple):
    """The anchor queries of a matrix, in the order of its dimensions.

    Attributes:
        texts: of the queries.
        rows: the documents that they are the beginnings of; empty where they come from elsewhere.
    """

    texts: list[str]
    rows: list[int]


def anchor_queries(artifact: Artifact) -> AnchorQueries:
    """Return the anchor queries of a matrix.

    Raises:
        ArtifactError: they are damaged.
    """
    path = artifact.file(_TEXTS)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return AnchorQueries([str(text) for text in said["texts"]], [int(row) for row in said["rows"] or ()])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtifactError(path, f"is damaged ({error}); remove it and build it again") from error


def choose_queries(context: Context, config: MatrixConfig | AxnConfig) -> list[str]:
    """Return the texts of anchor queries from a collection or a file, chosen at random, in their order there.

    Raises:
        UsageError: there are none.
    """
    texts = [text for text in dict.fromkeys(_read(context, config).texts) if text.strip()]
    if not texts:
        raise UsageError(f"queries={config.queries!r}: there are no queries to choose anchors from")
    return _some(context, texts, config.anchor_queries)


def anchor_lessons(context: Context, config: MatrixConfig | AxnConfig) -> list[Lesson]:
    """Return the anchor queries as what a search has learned from; beginnings of documents are no queries."""
    if config.queries == _DOCUMENTS:
        return []
    name = f"the anchor queries of {Path(config.queries).name} {config.split or ''}".rstrip()
    return [Lesson.of(name, choose_queries(context, config))]


def beginnings(context: Context, config: MatrixConfig, corpus: Corpus) -> tuple[list[str], list[int]]:
    """Return the first words of documents that were chosen at random, as anchor queries, and the documents' rows.

    Where no document has a word there is one anchor query without any.
    """
    order = context.rng("anncur", "documents").permutation(len(corpus))
    found: dict[str, int] = {}
    for start in range(0, len(order), SHARD):
        rows = order[start : start + SHARD]
        for row, text in zip(rows.tolist(), corpus.contents(rows), strict=True):
            cut = " ".join(text.split()[: config.words])
            if cut and len(found) < config.anchor_queries:
                found.setdefault(cut, row)
        if len(found) == config.anchor_queries:
            break
    return (list(found), list(found.values())) if found else ([""], [0])


def _read(context: Context, config: MatrixConfig | AxnConfig) -> Queries:
    from spaniel.collections import choose_split, find_dataset

    path = Path(config.queries).expanduser()
    if path.is_file():
        if config.split is not None:
            raise UsageError(f"split={config.split!r}: a file of queries has no splits")
        return read_queries(path)
    dataset = find_dataset(context, config.queries)
    preferred = "train" if config.split is None and "train" in dataset.splits else config.split
    return dataset.queries(choose_split(dataset, preferred))


def _some(context: Context, texts: Sequence[str], count: int) -> list[str]:
    if len(texts) <= count:
        return list(texts)
    chosen = np.sort(context.rng("anncur", "queries").choice(len(texts), count, replace=False))
    return [texts[number] for number in chosen]
