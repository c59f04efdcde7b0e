"""The headline check: recall of a scorer's best documents against calls of the scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import Context, Corpus, Queries, Run
from spaniel.collections import choose_split, find_dataset
from spaniel.data import DenseVectors, topk
from spaniel.encoding import corpus_vectors
from spaniel.indexing import open_corpus
from spaniel.reproduction import Finding, Reproduction

from spaniel_anncur.anchors import choose_anchors
from spaniel_anncur.config import AxnConfig
from spaniel_anncur.factor_matrix import choose_pairs, plain_values
from spaniel_anncur.factors import fit_factors, query_vectors
from spaniel_anncur.regression import Solver
from spaniel_anncur.rounds import Items, Plan, round_sizes, search
from spaniel_anncur.scoring import PairScorer
from spaniel_anncur.shares import SHARES, choose_share

if TYPE_CHECKING:
    from spaniel.protocols import Dataset

SCORER = "maxsim(documents='stored')"
FIRST = "bm25(k=200)"
ENCODER = "minilm"
DOCUMENTS = 1400
ANCHOR_QUERIES, TEST_QUERIES = 100, 60
BUDGET = 200
DEPTHS = (1, 10, 50, 100)


class Scored(NamedTuple):
    """A collection with everything scored, the ceiling that budgets are held against.

    Attributes:
        scores: ``(queries, documents)`` float32.
        first: ``(queries, 200)`` documents that BM25 finds, -1 where it finds fewer.
        queries: ``(queries, dimensions)``, vectors of a dense encoder that fits the scorer.
        documents: ``(documents, dimensions)``.
        tf_idf: ``(queries, 200)`` documents that TF-IDF finds, the papers' lexical retriever.
    """

    scores: NDArray[np.float32]
    first: NDArray[np.int64]
    queries: NDArray[np.float32]
    documents: NDArray[np.float32]
    tf_idf: NDArray[np.int64]


def run(context: Context, scale: float, seeds: Sequence[int], collection: str) -> Reproduction:
    """Measure ANNCUR, ADACUR and AXN with the MaxSim of MiniLM's token vectors as the scorer.

    Each seed draws other anchor queries and test queries. At scale 1 there are 1,400 documents, 100 anchor queries and 60
    test queries, 200 calls of the scorer for a query.
    """
    everything = score_everything(context, find_dataset(context, collection), scale)
    recalls: dict[str, list[NDArray[np.float64]]] = {}
    with context.stage("search under a budget", len(seeds), "seeds"):
        for seed in seeds:
            for name, recall in measure(everything, scale, seed).items():
                recalls.setdefault(name, []).append(recall)
            context.advance(1)
    table = {name: np.array(values) for name, values in recalls.items()}
    size = f"{everything.scores.shape[1]} documents, {BUDGET} calls a query, {SCORER} over MiniLM"
    return Reproduction(tuple(_findings(table, size)), seeds, scale)


def score_everything(context: Context, dataset: Dataset, scale: float) -> Scored:
    """Score a sample of a collection's documents, its judged ones first, with all of its queries."""
    split = choose_split(dataset, None)
    queries, whole = dataset.queries(split), open_corpus(context, dataset.documents())
    rng = np.random.default_rng(0)
    wanted = min(len(whole), max(BUDGET + 1, round(DOCUMENTS * scale)))
    qrels = dataset.qrels(split)
    judged = whole.rows(sorted({name for query in qrels for name in qrels[query]}))
    others = np.setdiff1d(np.arange(len(whole)), judged)
    rows = np.concatenate([rng.permutation(judged[judged >= 0]), rng.permutation(others)])[:wanted]
    corpus = Corpus.from_documents(whole.documents(np.sort(rows)))
    chosen = rng.permutation(len(queries))[: round((ANCHOR_QUERIES + TEST_QUERIES) * scale)]
    asked: Queries = queries.select(np.sort(chosen).tolist())
    count, documents = len(asked), len(corpus)
    owners, listed = np.repeat(np.arange(count), documents), np.tile(np.arange(documents), count)
    scores = PairScorer(context, SCORER).score(asked.texts, owners, listed, corpus).reshape(count, documents)
    found: Run = context.run(FIRST, asked, corpus)
    first = np.full((count, BUDGET), -1, np.int64)
    first[found.owners, found.ranks] = found.rows
    encoder = context.create("encode", ENCODER)
    return Scored(
        scores,
        first,
        plain_values(encoder.encode(asked.texts, "query")["dense"]),
        plain_values(corpus_vectors(context, ENCODER, corpus.need, "dense")),
        tf_idf(asked.texts, corpus.contents(range(documents))),
    )


def tf_idf(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.int64]:
    """Return the 200 documents with the highest cosine of TF-IDF weights: ``(queries, 200)``."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    weights = TfidfVectorizer()
    held = weights.fit_transform(documents)
    scores = (weights.transform(queries) @ held.T).toarray().astype(np.float32)
    return topk(scores, BUDGET)[0].astype(np.int64)


def measure(everything: Scored, scale: float, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return the recall at each of :data:`DEPTHS` of each way to spend the budget, ``(depths,)``."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(everything.scores))
    share = ANCHOR_QUERIES / (ANCHOR_QUERIES + TEST_QUERIES)
    known, test = np.split(order, [round(len(order) * share)])
    matrix, exact = everything.scores[known], everything.scores[test]
    items, solver = Items(np.ascontiguousarray(matrix.T)), Solver()
    random = choose_anchors(items.features, len(items), "random", seed)
    first = everything.first[test]

    def ask(owners: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.float32]:
        return exact[owners, places]

    def found(plan: Plan, begin: NDArray[np.int64], over: Items = items, how: Solver = solver) -> NDArray[np.float64]:
        rngs = [np.random.default_rng([seed, query]) for query in range(len(test))]
        return recall_of(search(over, ask, begin, plan, how, rngs).seen, exact)

    nothing = np.full((len(test), 0), -1, np.int64)
    made = {"TF-IDF, reranked": recall_of(everything.tf_idf[test], exact), "BM25, reranked": recall_of(first, exact)}
    dense = DenseVectors(everything.queries[test]).dot(DenseVectors(everything.documents))
    made["dense, reranked"] = recall_of(topk(dense, BUDGET)[0].astype(np.int64), exact)
    for anchors in SHARES:
        size = round(BUDGET * anchors)
        begin = np.tile(rng.choice(random, size, replace=False), (len(test), 1))
        made[f"ANNCUR {anchors:.0%}"] = found(Plan((size, BUDGET - size)), begin)
    chosen = choose_share(items, random, BUDGET, 50, solver, seed)
    made["ANNCUR"] = made[f"ANNCUR {chosen / BUDGET:.0%}"]
    rounds = Plan(round_sizes(BUDGET, 5))
    made["ADACUR"] = found(rounds, nothing)
    made["ADACUR from BM25"] = found(rounds, first)
    owners, rows = choose_pairs(everything.queries[known], DenseVectors(everything.documents), 100, rng)
    factors = fit_factors(
        everything.queries[known],
        everything.documents,
        owners,
        rows,
        matrix[owners, rows],
        AxnConfig(queries="given"),
        seed,
    )
    fitted, ridge = Items(factors.documents), Solver("ridge")
    own = query_vectors(factors.query, everything.queries[test])
    begin = topk(fitted.estimate(own.astype(np.float64)), rounds.sizes[0])[0].astype(np.int64)
    made["AXN"] = found(rounds, begin, fitted, ridge)
    return made


def recall_of(seen: NDArray[np.int64], exact: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return Top-k-Recall: the share of the exact ``k`` best that was scored, for each of :data:`DEPTHS`."""
    best, _ = topk(exact, DEPTHS[-1])
    is_seen = np.zeros((len(seen), exact.shape[1] + 1), bool)
    np.put_along_axis(is_seen, seen, True, axis=1)  # -1 is the column past the end
    hits = np.take_along_axis(is_seen, best.astype(np.int64), axis=1)
    return np.array([hits[:, :k].mean() for k in DEPTHS])


def _findings(table: dict[str, NDArray[np.float64]], size: str) -> list[Finding]:
    def text(name: str) -> str:
        return f"{name} {'/'.join(f'{value:.2f}' for value in table[name].mean(axis=0))}"

    shown = "; ".join(text(name) for name in table)
    made: list[Finding] = []
    for place, k, lexical in ((0, 1, "TF-IDF"), (2, 50, "TF-IDF"), (3, 100, "TF-IDF"), (3, 100, "BM25")):
        gain = table["ANNCUR"][:, place] - table[f"{lexical}, reranked"][:, place]
        above = k > 10
        note = f"{size}; recall at {'/'.join(map(str, DEPTHS))}: {shown}" if not made else ""
        made.append(
            Finding(
                f"recall of the best {k}: ANNCUR less reranking {lexical}'s list, at equal calls",
                f"{'above' if above else 'below'} 0 (figures are in plots)" if lexical == "TF-IDF" else "not measured",
                tuple(gain.tolist()),
                holds=bool((gain.mean() > 0) == above) if lexical == "TF-IDF" else None,
                note=note if lexical == "TF-IDF" else "a stronger lexical retriever than the papers'",
            )
        )
    for other in ("ANNCUR", "dense, reranked"):
        error, mine = 1 - table[other][:, 0], 1 - table["ADACUR"][:, 0]
        less = np.where(error > 0, 1 - mine / np.maximum(error, 1e-9), 0.0)
        note = "the dense encoder has the scorer's own weights, and so fits it" if other != "ANNCUR" else ""
        made.append(
            Finding(
                f"recall error at k=1: how much less ADACUR makes than {other}",
                "up to 0.70",
                tuple(less.tolist()),
                holds=bool(less.mean() > 0),
                note=note,
            )
        )
    least = (table["ADACUR from BM25"] - table["BM25, reranked"]).min(axis=1)
    made.append(
        Finding(
            "ADACUR that begins with a retriever's list finds no less than reranking that list, at any k",
            "at least 0",
            tuple(least.tolist()),
            holds=bool(least.min() >= 0),
        )
    )
    for place, published in ((0, "up to 0.05"), (3, "up to 0.54")):
        gain = table["AXN"][:, place] / np.maximum(table["dense, reranked"][:, place], 1e-9) - 1
        made.append(
            Finding(
                f"recall of the best {DEPTHS[place]}: what AXN adds to reranking a dense encoder's list",
                published,
                tuple(gain.tolist()),
                holds=bool(gain.mean() > 0),
                note="factors fitted to 100 scores an anchor query, where CUR takes all",
            )
        )
    return made
