"""The headline check: what the proxy finds, what it costs, and what comes of its candidates once they are trained."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from spaniel import Context, Stage
from spaniel.collections import find_dataset
from spaniel.evaluation import evaluate
from spaniel.reproduction import Finding, Reproduction
from spaniel.system import Task, open_task
from spaniel_neural.taps import FFN_BEFORE, MASK, SYNAPSES
from spaniel_search.config import Budget
from spaniel_search.correlation import correlate
from spaniel_search.finding import find
from spaniel_search.searching import Plan

TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
MEASURE = "nDCG@10"
_SPACE: dict[str, Any] = {
    "layers": 6,
    "hidden": 96,
    "heads": 4,
    "ffn_units": 24,
    "embed": 64,
    "max_params": 200_000,
    "count_embeddings": False,
    "tokenizer": TEACHER,
    "seq_len": 64,
}
"""Encoders a tenth as wide as the paper's; the limit is for their blocks, since embeddings are ten times as large."""
BUDGET, POPULATION = 120, 20
SAMPLES = 60
LAYER_STEPS, STEPS, BATCH, LENGTH, RATE = 12, 120, 16, 48, 2e-3
_QUERY = 8
"""Words of a document that are taken for a query."""
_TRAINED = ("w-pca", "v-pca", "parameters", "median", "worst")


class Learned(NamedTuple):
    """What one seed gave.

    Attributes:
        variation: coefficient of variation of V-PCA over fresh weights and batches, in percent.
        ranks: Spearman's rho of W-PCA with two seeds.
        size_tau: tau-b of W-PCA with the number of parameters, over random candidates.
        genetic, random: the best score of either search, at one budget.
        cost: how many times longer a pass with gradients of the same linears takes.
        quality: nDCG@10 by name of what was trained.
        counted: parameters of its blocks.
    """

    variation: float
    ranks: float
    size_tau: float
    genetic: float
    random: float
    cost: float
    quality: dict[str, float]
    counted: dict[str, float]


def run(context: Context, scale: float, seeds: Sequence[int], collection: str) -> Reproduction:
    """Search a small space, and distil what proxies like and what they do not from MiniLM, each for as many steps.

    Args:
        context: the session.
        scale: multiplies the steps of training and the budget of the search.
        seeds: each draws other candidates, weights and batches.
        collection: whose documents are learned and searched; its judgments are for measuring alone.
    """
    task = open_task(context, find_dataset(context, collection), None)
    learned = []
    with (
        TemporaryDirectory() as place,
        context.stage("search and distil", len(seeds) * (1 + len(_TRAINED)), "steps", phase="build"),
    ):
        for seed in seeds:
            session = context.reseeded(seed)
            folder = Path(place) / str(seed)
            folder.mkdir()
            learned.append(_learn(context, session, task, collection, folder, scale))
    return Reproduction(_findings(learned, scale, collection), seeds, scale)


def _learn(context: Context, session: Context, task: Task, collection: str, folder: Path, scale: float) -> Learned:
    stage = Stage("nlu-bert-mobilebert", data=collection, **_SPACE)
    space: Any = session.create("search_space", stage)
    rng = session.rng("w-pca", "samples")
    samples = [space.sample(rng) for _ in range(SAMPLES)]
    proxy: Any = session.create("search_space", "w-pca")
    scores = [proxy.score(space, one, session.seed) for one in samples]
    again = [proxy.score(space, one, session.seed + 1000) for one in samples]
    (ranks,), (size,) = (
        correlate(scores, {"": values}, resamples=0)
        for values in (again, [space.counts(one)["parameters"] for one in samples])
    )
    budget = max(2 * POPULATION, round(BUDGET * scale))
    strategy = f"genetic(population={POPULATION}, parents=5, redraw=10, patience=10)"

    def search(by: str, how: str = strategy) -> Any:
        return find(session, Plan(str(stage), how, Budget(candidates=budget), batch=POPULATION), by)

    walks = {"w-pca": search("w-pca"), "v-pca": search("v-pca"), "parameters": search("count(what=counted)")}
    order = sorted(range(SAMPLES), key=lambda at: scores[at])
    chosen = {name: walk.candidate for name, walk in walks.items()}
    chosen |= {"median": samples[order[SAMPLES // 2]], "worst": samples[order[0]]}
    cost = _cost(session, space, samples[:6])
    context.advance(1)
    rows = _write_rows(session, task, folder / "rows.jsonl")
    quality: dict[str, float] = {}
    for name in _TRAINED:
        same = next((other for other in quality if chosen[other] == chosen[name]), None)
        quality[name] = (
            quality[same] if same else _distilled(session, task, space, chosen[name], rows, folder / name, scale)
        )
        context.advance(1)
    counted = {name: space.counts(candidate)["counted"] for name, candidate in chosen.items()}
    return Learned(
        _variation(session, stage, samples[0]),
        ranks.rho or 0.0,
        size.tau or 0.0,
        walks["w-pca"].score,
        search("w-pca", "random").score,
        cost,
        quality,
        counted,
    )


def _variation(session: Context, stage: Stage, candidate: Any) -> float:
    """Return the standard deviation of V-PCA over five seeds and five batches, beside its mean, in percent."""
    proxy: Any = session.create("search_space", "v-pca")
    scores = []
    for batch in range(5):
        space: Any = session.create("search_space", Stage(stage.name, **{**stage.options, "batch": batch}))
        scores += [proxy.score(space, candidate, seed) for seed in range(5)]
    return 100 * float(np.std(scores) / np.mean(scores))


def _cost(session: Context, space: Any, candidates: Sequence[Any]) -> float:
    """Return how many times longer a pass with gradients takes than one with the components counted; medians of rounds."""
    proxy: Any = session.create("search_space", "v-pca")
    cold: Any = type(space)(space.config.model_copy(update={"shared": 0}), session)

    def timed(candidate: Any, taps: Sequence[str], score: Callable[[Any], Any]) -> float:
        started = time.perf_counter()
        score(cold.forward(candidate, 0, taps))
        return time.perf_counter() - started

    pairs = [
        (timed(one, [FFN_BEFORE, MASK], proxy.score_taps), timed(one, [SYNAPSES], lambda seen: seen))
        for one in candidates
    ]
    return float(np.median([with_gradients / without for without, with_gradients in pairs]))


def _write_rows(session: Context, task: Task, path: Path) -> Path:
    """Write the documents as rows, with a few words in a row of each as its query."""
    from spaniel_train.rows import Row, to_lines

    rng = session.rng("w-pca", "rows")
    rows = []
    for number, text in enumerate(task.corpus.contents(range(len(task.corpus)))):
        words = text.split()
        if len(words) >= 2 * _QUERY:
            start = int(rng.integers(len(words) - _QUERY))
            query = " ".join(words[start : start + _QUERY])
            rows.append(Row(query, (text,), provenance={"document": str(number)}))
    path.write_text(to_lines(rows), encoding="utf-8")
    return path


def _distilled(session: Context, task: Task, space: Any, candidate: Any, rows: Path, out: Path, scale: float) -> float:
    """Train a candidate by layers, then by predictions, and return how well it searches."""
    from spaniel_train.recipe import Recipe
    from spaniel_train.training import Training

    from spaniel_w_pca.folder import write_encoder

    fresh, between = out.with_name(f"{out.name}-fresh"), out.with_name(f"{out.name}-layers")
    write_encoder(session, space, candidate, session.seed, TEACHER, fresh, words=True)
    parts = (("layerwise-kd", fresh, between, LAYER_STEPS), ("prediction-kd", between, out, STEPS))
    for objective, base, made, steps in parts:
        steps = max(1, round(steps * scale))
        content = {
            "model": {"kind": f"layerwise-encoder(teacher='{TEACHER}')", "base": str(base), "max_length": LENGTH},
            "data": [{"rows": str(rows)}],
            "objectives": [{"use": objective}],
            "optimizer": {
                "use": f"adamw(learning_rate={RATE})",
                "rate": {"warmup": 0.1, "shape": "linear"},
                "clip": 1.0,
            },
            "batches": {"size": BATCH, "negatives": 0, "part": 2 * BATCH},
            "steps": steps,
            "checkpoint": steps,
            "seed": session.seed,
        }
        Training(session, Recipe.model_validate_json(json.dumps(content)), made).run()
    return measured(session, task, f"dense(encoder=sentence-transformer(model={json.dumps(str(out))}), k=10)")


def measured(session: Context, task: Task, pipeline: str) -> float:
    """Return nDCG@10 of a pipeline on a task."""
    assert task.qrels is not None  # collections of the check are judged
    found = session.run(pipeline, task.queries, task.corpus)
    return evaluate(found, task.queries, task.corpus, task.qrels, [MEASURE]).means[MEASURE]


def _findings(learned: Sequence[Learned], scale: float, collection: str) -> tuple[Finding, ...]:
    def of(name: str) -> tuple[float, ...]:
        return tuple(one.quality[name] for one in learned)

    def above(name: str) -> tuple[float, ...]:
        return tuple(a - b for a, b in zip(of("w-pca"), of(name), strict=True))

    sizes = ", ".join(f"{name} {np.mean([one.counted[name] for one in learned]):,.0f}" for name in _TRAINED)
    worth = ", ".join(f"{name} {np.mean(of(name)):.3f}" for name in _TRAINED)
    ordered = [one.quality["w-pca"] >= one.quality["median"] >= one.quality["worst"] for one in learned]
    steps = " and ".join(f"{max(1, round(count * scale))}" for count in (LAYER_STEPS, STEPS))
    scaled = f"six blocks 96 wide, {steps} steps of {BATCH} rows, {MEASURE} on {Path(collection).name}"
    return (
        Finding(
            "what the proxy ranks higher learns better: best, median, worst of W-PCA in this order",
            "GLUE 81.4 for the best; the order is not reported",
            tuple(one.quality["w-pca"] - one.quality["worst"] for one in learned),
            f"{MEASURE}, best above worst",
            holds=sum(ordered) * 3 >= 2 * len(ordered),
            note=f"{scaled}: {worth}; in order in {sum(ordered)} of {len(ordered)}; parameters of blocks: {sizes}",
        ),
        Finding(
            "W-PCA finds better encoders than the number of parameters",
            "GLUE 81.4 against 80.3",
            above("parameters"),
            f"{MEASURE} above",
            holds=float(np.mean(above("parameters"))) > 0,
        ),
        Finding(
            "W-PCA finds better encoders than V-PCA",
            "GLUE 81.4 against 80.8",
            above("v-pca"),
            f"{MEASURE} above",
            holds=float(np.mean(above("v-pca"))) > 0,
        ),
        Finding(
            "the proxy says something that size does not",
            "not reported",
            tuple(one.size_tau for one in learned),
            "tau-b of W-PCA with the number of parameters",
            holds=float(np.mean([one.size_tau for one in learned])) < 0.9,
            note=f"{SAMPLES} random candidates of one depth within the limit",
        ),
        Finding(
            "genetic search finds more than random search at an equal budget",
            "not reported",
            tuple(100 * (one.genetic / one.random - 1) for one in learned),
            "% above",
            holds=all(one.genetic >= one.random for one in learned),
            note=f"{max(2 * POPULATION, round(BUDGET * scale))} candidates each",
        ),
        Finding(
            "scores hardly depend on weights and texts",
            "not reported",
            tuple(one.variation for one in learned),
            "% variation of V-PCA over 5 seeds and 5 batches",
            holds=max(one.variation for one in learned) < 3,
            note=f"rho of two seeds' rankings {np.mean([one.ranks for one in learned]):.3f}",
        ),
        Finding(
            "a pass without gradients is cheaper than one with them",
            "74 s for 1000 candidates on a GPU; gradient proxies not timed",
            tuple(one.cost for one in learned),
            "times as long with gradients of the same linears",
            holds=float(np.mean([one.cost for one in learned])) > 1,
        ),
    )
