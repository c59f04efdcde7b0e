"""How entangled judgments are: the graph of queries that share relevant documents (table 6 of the paper)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from spaniel import Qrels


class QrelGraph(NamedTuple):
    """A node for each query, an edge between two that share a relevant document, its weight their Jaccard similarity.

    Attributes:
        queries: nodes.
        edges: how many.
        density: share of the edges that there could be.
        strength: mean over the nodes of the sum of their edges' weights.
    """

    queries: int
    edges: int
    density: float
    strength: float


def qrel_graph(qrels: Qrels) -> QrelGraph:
    """Measure the graph of judgments; what is relevant is asked of them, and queries without any count as nodes.

    One sparse product of the incidence matrix with itself in place of a comparison of all pairs.
    """
    sets = [qrels.relevant(query) for query in qrels]
    columns: dict[str, int] = {}
    places = [columns.setdefault(name, len(columns)) for names in sets for name in names]
    sizes = np.array([len(names) for names in sets], np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ones = np.ones(len(places), np.int64)
    incidence = csr_matrix((ones, np.array(places, np.int64), offsets), shape=(len(sets), max(1, len(columns))))
    shared = (incidence @ incidence.T).tocoo()
    apart = shared.row != shared.col
    row, column, common = shared.row[apart], shared.col[apart], shared.data[apart]
    weight = common / (sizes[row] + sizes[column] - common)
    count = len(sets)
    pairs = count * (count - 1)
    return QrelGraph(
        count, len(common) // 2, len(common) / pairs if pairs else 0.0, float(weight.sum()) / count if count else 0.0
    )
