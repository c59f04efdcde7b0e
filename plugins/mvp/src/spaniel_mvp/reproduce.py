"""The headline check: order, cost, and what a model learns from short lists about long ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from spaniel import Context, Stage
from spaniel.collections import find_dataset
from spaniel.data import Corpus, Queries, Run
from spaniel.evaluation import evaluate
from spaniel.reproduction import Finding, Reproduction
from spaniel.system import Task, open_task

from spaniel_mvp.findings import PERMUTATIONS, PERMUTED, Learned, findings

BASE = "package:cognition/model"
FIRST = "bm25(k=50)"
LENGTH, SIZE, LISTS = 64, 5, 20
STEPS, BATCH, RATE = 80, 16, 1e-3
HELD = 60
_MEASURE = "nDCG@10"


class Variant(NamedTuple):
    """A way to train."""

    views: int = 4
    orthogonal: float = 1.0
    objective: str = "inverse-rank"


VARIANTS = {
    "whole": Variant(),
    "one view": Variant(views=1),
    "free anchors": Variant(orthogonal=0.0),
    "published code": Variant(objective="inverse-rank(compat=reference)"),
}


def run(context: Context, scale: float, seeds: Sequence[int], collection: str) -> Reproduction:
    """Train small models on lists of five, and rank BM25's lists of fifty for queries that they have not seen.

    The base is BERT-tiny with a decoder of one layer, since no T5 comes in a package. Each seed splits the queries anew:
    half to learn from, and up to 60 of the other half. Lists hold a judged document, and four of BM25's in its order
    behind it. At scale 1 a model learns from 80 batches of 16 lists.
    """
    task = open_task(context, find_dataset(context, collection), None)
    learned = []
    with (
        TemporaryDirectory() as place,
        context.stage("train and rank", len(seeds) * len(VARIANTS), "models", phase="build"),
    ):
        for seed in seeds:
            session = context.reseeded(seed)
            learned.append(learn(context, session, task, Path(place) / str(seed), max(1, round(STEPS * scale))))
        times = _times(context, task, Path(place), len(seeds))
    held = min(HELD, -(-len(task.queries) // 2))
    size = f"BERT-tiny, {max(1, round(STEPS * scale))} steps of {BATCH} lists of {SIZE}, {held} queries held out"
    return Reproduction((*findings(learned, size), *times), seeds, scale)


def learn(context: Context, session: Context, task: Task, place: Path, steps: int) -> Learned:
    """Train every variant with one seed and measure it; ``context`` is told of each."""
    from spaniel_train.recipe import Model
    from spaniel_train.training import Training

    place.mkdir()
    learning, held = _split(session, task)
    rows = _write_rows(session, task, learning, place / "rows.jsonl")
    first = session.run(FIRST, held, task.corpus)
    quality = {"first": _quality(first, held, task), "random": _random(session, first, held, task)}
    model = Model.model_validate_json(json.dumps(_model(Variant())))
    _write_untrained(session, model, place)
    quality["untrained"] = _quality(_rank(session, place / "untrained", held, first, task.corpus), held, task)
    cosines: dict[str, float] = {}
    same = gap = decoding = 0.0
    for name, variant in VARIANTS.items():
        out = place / name.replace(" ", "-")
        Training(session, _recipe(variant, rows, steps), out).run()
        ranked = _rank(session, out, held, first, task.corpus)
        quality[name] = _quality(ranked, held, task)
        stage = session.create("rerank", Stage("mvp", model=str(out), k=50))
        cosines[name] = _cosines(stage, held, first, task.corpus)
        if name == "whole":
            same, gap, decoding = _permute(session, stage, held, first, task.corpus)
        context.advance(1)
    return Learned(quality, cosines, same, gap, decoding)


def _split(session: Context, task: Task) -> tuple[Queries, Queries]:
    order = session.rng("mvp", "split").permutation(len(task.queries))
    half = len(order) // 2
    learning, held = order[:half], order[half : half + HELD]
    return task.queries.select(np.sort(learning).tolist()), task.queries.select(np.sort(held).tolist())


def _write_rows(session: Context, task: Task, queries: Queries, path: Path) -> Path:
    from spaniel_train.material import Material
    from spaniel_train.rows import to_lines

    material = Material("the learning half", queries.digest, task.corpus, queries, task.qrels)
    lists = session.create("synthesize", Stage("sampled-lists", ranker=FIRST, lists=LISTS, size=SIZE, depth=50))
    path.write_text(to_lines(lists.make(material, 0, lists.units(material)).rows), encoding="utf-8")
    return path


def _model(variant: Variant) -> dict[str, Any]:
    return {"kind": f"mvp(views={variant.views})", "base": BASE, "max_length": LENGTH}


def _recipe(variant: Variant, rows: Path, steps: int) -> Any:
    from spaniel_train.recipe import Recipe

    content = {
        "model": _model(variant),
        "data": [{"rows": str(rows)}],
        "objectives": [{"use": variant.objective}, {"use": "anchor-orthogonal", "weight": variant.orthogonal}],
        "optimizer": {"use": f"adamw(learning_rate={RATE})", "rate": {"warmup": 0.05, "shape": "linear"}},
        "batches": {"size": BATCH, "negatives": SIZE - 1, "part": BATCH},
        "steps": steps,
        "checkpoint": steps,
    }
    return Recipe.model_validate_json(json.dumps(content))


def _write_untrained(session: Context, model: Any, place: Path) -> None:
    import torch
    from spaniel_train.models import load_trainee

    load_trainee(session, model, torch.device("cpu"), place / "scratch").save(place / "untrained")


def _rank(session: Context, model: Path, queries: Queries, first: Run, corpus: Corpus) -> Run:
    stage = session.create("rerank", Stage("mvp", model=str(model), k=50))
    ranked: Run = stage.rerank(queries, first, corpus)
    return ranked


def _quality(ranked: Run, queries: Queries, task: Task) -> float:
    assert task.qrels is not None  # lists hold judged documents
    judged = task.qrels.select(queries.ids)
    return evaluate(ranked, queries, task.corpus, judged, [_MEASURE]).means[_MEASURE]


def _random(session: Context, first: Run, queries: Queries, task: Task) -> float:
    rng = session.rng("mvp", "random order")
    drawn = [Run.build(first.offsets, first.rows, rng.random(len(first.rows))) for _ in range(5)]
    return float(np.mean([_quality(one, queries, task) for one in drawn]))


def _cosines(stage: Any, queries: Queries, first: Run, corpus: Corpus) -> float:
    from spaniel_mvp.explainer import cosines

    some = first.select(range(min(PERMUTED, len(first))))
    views = stage.views(list(queries.texts[: len(some)]), stage.texts(corpus, some.rows), some.lengths.tolist())
    tables = np.abs([cosines(one.anchors) for one in views if one.scores.shape[1]])
    count = tables.shape[1]
    return float((tables.sum(axis=(1, 2)) - count).mean() / (count * (count - 1))) if count > 1 else 0.0


def _permute(session: Context, stage: Any, queries: Queries, first: Run, corpus: Corpus) -> tuple[float, float, float]:
    """Return the share of permuted lists that are ranked alike, the largest change of a score, and the decoding steps.

    The first permutation of each list is read anew, passages and all; the others permute what was read.
    """
    rng = session.rng("mvp", "permutations")
    same: list[bool] = []
    gap = 0.0
    steps: list[int] = []
    handle = stage.loaded.model.head.get_decoder().register_forward_hook(lambda *_: steps.append(1))
    asked = [query for query in range(len(first)) if first.lengths[query]][:PERMUTED]
    for query in asked:
        rows, text = first.of(query)[0], queries.texts[query]
        passages = stage.texts(corpus, rows)
        (plain,) = stage.score_lists([text], passages, [len(rows)])
        ranking = np.lexsort((rows, -plain))
        alone = len(steps)
        relevance = stage.relevance([text] * len(rows), passages)
        for number in range(PERMUTATIONS):
            order = rng.permutation(len(rows))
            if number == 0:
                (scores,) = stage.score_lists([text], [passages[place] for place in order.tolist()], [len(rows)])
            else:
                (scores,) = stage.score_vectors(relevance[order], [len(rows)])
            back = np.empty_like(scores)
            back[order] = scores
            gap = max(gap, float(np.abs(back - plain).max() / max(1e-9, float(np.abs(plain).max()))))
            same.append(bool((np.lexsort((rows, -back)) == ranking).all()))
        del steps[alone:]
    handle.remove()
    return 100 * float(np.mean(same)), gap, len(steps) / max(1, len(asked))


def _times(context: Context, task: Task, place: Path, rounds: int) -> tuple[Finding, ...]:
    from spaniel_mvp.timing import ratios, time_lists, with_views, write_t5

    base = write_t5(place / "t5", BASE, 0)
    model = with_views(base, place / "views")
    queries = task.queries.select(range(min(1, len(task.queries))))
    first = context.run(FIRST, queries, task.corpus)
    times = time_lists(context, base, model, queries, first, task.corpus, rounds)
    note = "a random T5 of 8 layers that names each of 50 passages once, windows of 20 by steps of 10; no language model of 7B"
    moved = tuple(100 * float(np.mean(np.array(one.once) == np.array(one.turned))) for one in times)
    return (
        Finding(
            "a list takes far less time than with a generator over sliding windows",
            "100 times less than models of 7B",
            ratios(times),
            "times, on one backbone",
            all(ratio > 1 for ratio in ratios(times)),
            note,
        ),
        Finding(
            "a generator over windows depends on the order of its list",
            "it does",
            moved,
            "% of places alike after reversing the list",
            max(moved) < 100,
            "the same random T5, the list of one query",
        ),
    )
