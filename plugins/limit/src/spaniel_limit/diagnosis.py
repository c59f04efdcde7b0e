"""Which top-k sets an encoder or a retriever can return: those that were asked for, and those in reach of any query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Qrels, UsageError
from spaniel.encoding import corpus_vectors, encode_queries

from spaniel_limit.bounds import largest_margin, least_dimension
from spaniel_limit.graph import QrelGraph, qrel_graph
from spaniel_limit.ranking import Ranking, Wanted, first_sets, rank_run, rank_vectors
from spaniel_limit.reachable import all_reachable, reach
from spaniel_limit.term_weights import BY_TERMS, term_weights

if TYPE_CHECKING:
    from spaniel import Context, Expression
    from spaniel.data import DenseVectors
    from spaniel.pipeline import Pipeline
    from spaniel.system import Task

Rows: TypeAlias = NDArray[np.int64]
DEPTHS = (2, 10, 20, 100)


class Options(NamedTuple):
    """What is looked at.

    Attributes:
        depths: of recall.
        dimensions: leading dimensions, beside all.
        sets: how many sets are tried against every query vector there could be, of those wanted and of any.
        margin: of the bound on dimensions.
    """

    depths: Sequence[int] = DEPTHS
    dimensions: Sequence[int] = ()
    sets: int = 100
    margin: float = 0.1


@dataclass(frozen=True)
class Returned:
    """What is returned of what is wanted, with all dimensions or some.

    Attributes:
        recall: by depth, mean over the queries.
        whole: share of the queries whose first documents are just the relevant ones.
        margin: median of lowest relevant less highest other score; ``None`` where no list tells.
        margins: quantiles at 0, 5, 25, 50, 75, 95 and 100 per cent of the queries whose list tells.
        dimensions: of the vectors; ``None`` where the pipeline is no search by one vector.
        wanted_in_reach: share of the wanted sets that some query vector returns; of those tried.
        any_in_reach: the same of sets drawn from all documents.
    """

    recall: dict[int, float]
    whole: float
    margin: float | None
    margins: tuple[float, ...] = ()
    dimensions: int | None = None
    wanted_in_reach: float | None = None
    any_in_reach: float | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What a pipeline can return on a collection.

    Attributes:
        pipeline: as it prints.
        collection: its name.
        queries: judged queries that have relevant documents.
        documents: of the corpus.
        k: relevant documents of a query, at the most.
        sets: distinct sets that are wanted.
        sets_returned: distinct sets that came first.
        documents_returned: documents in any of them.
        graph: how entangled the judgments are.
        pipeline_returned: of the pipeline itself.
        by_dimensions: of vectors cut to leading dimensions, the fewest first, all last; empty for other pipelines.
        terms: of the vocabulary, where the pipeline is one search by weights of terms.
        least_dimensions: below which no unit vectors return all sets of ``k`` with ``margin``.
        margin: of that bound.
        largest_margin: that the bound leaves to all sets of ``k`` at the encoder's dimensions.
    """

    pipeline: str
    collection: str
    queries: int
    documents: int
    k: int
    sets: int
    sets_returned: int
    documents_returned: int
    graph: QrelGraph
    pipeline_returned: Returned
    least_dimensions: int
    margin: float
    largest_margin: float | None = None
    by_dimensions: tuple[Returned, ...] = field(default=())
    terms: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "graph": self.graph._asdict()}

    def to_text(self) -> str:
        """Return the report for readers."""
        from spaniel_limit.report import report

        return report(self)

    def to_png(self, path: str | PathLike[str]) -> None:
        """Draw recall and sets in reach by dimension, and the margins.

        Raises:
            UsageError: matplotlib is not installed.
        """
        from spaniel_limit.plots import draw_diagnosis

        draw_diagnosis(self, path)


def diagnose(context: Context, pipeline: Pipeline, task: Task, options: Options = Options()) -> Diagnosis:  # noqa: B008
    """Run a pipeline and look at which sets it returns, and which are in reach of any query, by dimension for one vector.

    Queries of a search by weights of terms have weights of 0 or more.

    Raises:
        UsageError: the collection has no judgments, a number of dimensions is more than the encoder has, or the pipeline
            is no search by one vector and dimensions are asked for.
    """
    wanted, positions = wanted_sets(task)
    qrels = task.qrels or Qrels({})
    encoder = encoder_of(pipeline)
    if options.dimensions and encoder is None:
        raise UsageError(f"{pipeline.expression} is no search by one vector a text; it has no leading dimensions")
    queries = task.queries.select(positions)
    n = len(task.corpus)
    run = context.run(pipeline, queries, task.corpus)
    came = first_sets(run, wanted.sizes)
    k = int(wanted.sizes.max())
    returned = _returned(rank_run(run, wanted, n), wanted, options.depths)
    rows: list[Returned] = []
    weights = None if encoder is not None else _weights_of(context, pipeline, task)
    if weights is not None:
        sets = _drawn(context, wanted, n, options)
        with context.stage("sets in reach", sum(map(len, sets)), "sets"):
            mine, any_of = (_share(context, weights, part, nonnegative=True) for part in sets)
        returned = replace(returned, wanted_in_reach=mine, any_in_reach=any_of)
    if encoder is not None:
        vectors = cast("DenseVectors", corpus_vectors(context, encoder, task.corpus.need, "dense"))
        asked = cast("DenseVectors", encode_queries(context, encoder, queries)["dense"])
        rows = _by_dimensions(context, asked, vectors, wanted, options)
    full = rows[-1].dimensions if rows else None
    return Diagnosis(
        pipeline=str(pipeline.expression),
        collection=task.dataset.name,
        queries=wanted.queries,
        documents=n,
        k=k,
        sets=len(wanted.distinct()),
        sets_returned=len(came),
        documents_returned=len({row for one in came for row in one}),
        graph=qrel_graph(qrels.select(queries.ids)),
        pipeline_returned=returned,
        least_dimensions=least_dimension(n, min(k, n), options.margin),
        margin=options.margin,
        largest_margin=None if full is None or n <= k else largest_margin(n, k, full),
        by_dimensions=tuple(rows),
        terms=None if weights is None else int(weights.shape[1]),
    )


def encoder_of(pipeline: Pipeline) -> Expression | None:
    """Return the encoder of a pipeline that is one search by one vector a text; of others, nothing."""
    if len(pipeline.stages) != 1 or pipeline.stages[0].registered.name != "dense":
        return None
    found: Expression | None = getattr(pipeline.stages[0].config, "encoder", None)
    return found


def leading(vectors: DenseVectors, dimensions: int) -> NDArray[np.float32]:
    """Return the leading dimensions, scaled to length 1 again where vectors are compared by the cosine."""
    kept = np.ascontiguousarray(vectors.values[:, :dimensions], np.float32)
    if vectors.metric != "cosine":
        return kept
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    made: NDArray[np.float32] = kept / np.maximum(lengths, np.float32(1e-30))
    return made


def _by_dimensions(
    context: Context, queries: DenseVectors, documents: DenseVectors, wanted: Wanted, options: Options
) -> list[Returned]:
    full, n = documents.values.shape[1], len(documents)
    for dimensions in options.dimensions:
        if not 1 <= dimensions <= full:
            raise UsageError(f"the encoder has {full} dimensions; {dimensions} of them cannot be looked at")
    asked, others = _drawn(context, wanted, n, options)
    rows = []
    several = sorted({*options.dimensions, full})
    with context.stage("sets in reach", len(several) * (len(asked) + len(others)), "sets"):
        for dimensions in several:
            mine, theirs = leading(queries, dimensions), leading(documents, dimensions)
            found = _returned(rank_vectors(mine, theirs, wanted), wanted, options.depths)
            shares = [_share(context, theirs, sets) for sets in (asked, others)]
            rows.append(
                Returned(found.recall, found.whole, found.margin, found.margins, dimensions, shares[0], shares[1])
            )
    return rows


def _weights_of(context: Context, pipeline: Pipeline, task: Task) -> Any | None:
    stage = pipeline.stages[0]
    if len(pipeline.stages) != 1 or stage.kind != "retrieve" or stage.registered.name not in BY_TERMS:
        return None
    return term_weights(context, context.make(stage), task.corpus)


def _drawn(context: Context, wanted: Wanted, n: int, options: Options) -> tuple[list[Rows], list[Rows]]:
    """Return sets that are wanted, and sets of the same size of any documents."""
    rng = context.rng("capacity", "sets")
    distinct = wanted.distinct()
    drawn = rng.permutation(len(distinct))[: options.sets]
    size = int(np.median(wanted.sizes))
    others = [np.sort(rng.choice(n, size, replace=False)) for _ in range(options.sets)] if size < n else []
    return [distinct[place] for place in drawn.tolist()], others


def _share(context: Context, documents: Any, sets: Sequence[Rows], nonnegative: bool = False) -> float | None:
    if not sets:
        return None
    everything = not nonnegative and all_reachable(documents)
    found = 0
    for chosen in sets:
        found += everything or reach(documents, chosen, nonnegative).reachable
        context.advance(1)
    return found / len(sets)


def _returned(ranking: Ranking, wanted: Wanted, depths: Sequence[int]) -> Returned:
    told = ranking.margins[~np.isnan(ranking.margins)]
    quantiles = tuple(np.quantile(told, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)).tolist()) if len(told) else ()
    recall = {depth: ranking.recall(wanted, depth) for depth in depths}
    return Returned(recall, ranking.whole(wanted), quantiles[3] if quantiles else None, quantiles)


def wanted_sets(task: Task) -> tuple[Wanted, list[int]]:
    """Return the rows that judged queries want, and the positions of those queries.

    Raises:
        UsageError: the collection has no judgments, or none of a document in its corpus.
    """
    if task.qrels is None:
        raise UsageError(f"{task.dataset.name} has no judgments, so no sets are wanted")
    positions, sets = [], []
    for position, name in enumerate(task.queries.ids):
        rows = task.corpus.rows(task.qrels.relevant(name))
        rows = rows[rows >= 0]
        if len(rows):
            positions.append(position)
            sets.append(rows.tolist())
    if not sets:
        raise UsageError(f"{task.dataset.name} has no query with a relevant document in its corpus")
    return Wanted.from_sets(sets), positions
