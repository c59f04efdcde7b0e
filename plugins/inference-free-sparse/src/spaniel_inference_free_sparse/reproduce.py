"""The headline check: IDF in the training's scores against uniform weights, and an ensemble against its members."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from spaniel import Context
from spaniel.reproduction import Finding, Reproduction

from spaniel_inference_free_sparse.experiment import (
    LENGTH,
    MODEL,
    Measured,
    encode,
    label,
    make_rows,
    measure,
    pool_quality,
    train,
)

if TYPE_CHECKING:
    from spaniel.system import Task

TEACHERS = (f"minilm(max_length={LENGTH})", f"splade-tiny(max_length={LENGTH})")
WEIGHTS = (0.005, 0.05)
"""Of FLOPS; the lighter one is what students of one teacher are trained with, too."""
ROWS, NEGATIVES, STEPS = 360, 3, 30


def run(context: Context, scale: float, seeds: Sequence[int], collection: str) -> Reproduction:
    """Run the check; ``scale`` multiplies rows and steps. Rows and teacher scores are the same for all seeds."""
    from spaniel.collections import find_dataset
    from spaniel.system import open_task

    task = open_task(context, find_dataset(context, collection), None)
    steps = max(4, round(STEPS * scale))
    with TemporaryDirectory(prefix="spaniel-") as made:
        place = Path(made)
        rows = make_rows(context, task, max(24, round(ROWS * scale)), NEGATIVES)
        files = label(context, rows, TEACHERS, place)
        for name in ("idf", "ones"):
            _adapt(context, collection, name, place / name)
        curves: dict[str, list[list[Measured]]] = {"idf": [], "ones": []}
        singles: list[list[Measured]] = []
        for seed in seeds:
            session = context.reseeded(seed)
            for name, curve in curves.items():
                points = [_student(session, task, collection, place, place / name, files[0], w, steps) for w in WEIGHTS]
                curve.append(points)
            singles.append(
                [_student(session, task, collection, place, place / "idf", f, WEIGHTS[0], steps) for f in files[1:]]
            )
        quality = pool_quality(context, task, TEACHERS)
    scale_note = (
        f"BERT-tiny, {len(rows)} rows, {steps} steps, λ of {' and '.join(map(str, WEIGHTS))}, {collection_name(task)}"
    )
    findings = (
        _curve(curves, scale_note),
        _light(curves, scale_note),
        _teacher(quality),
        _students(curves, singles, scale_note),
    )
    return Reproduction(findings, seeds, scale)


def collection_name(task: Task) -> str:
    """Return what the collection is called."""
    return str(task.dataset.name)


def _adapt(context: Context, collection: str, weights: str, out: Path) -> None:
    from spaniel import Stage
    from spaniel_train.surgery import adapt_model

    method = Stage("inference-free", idf=collection, weights=weights, terms="counted", max_length=LENGTH)
    adapt_model(context, str(method), MODEL, out)


def _student(
    context: Context, task: Task, collection: str, place: Path, base: Path, rows: Path, weight: float, steps: int
) -> Measured:
    """Train a student, measure it with IDF weights of queries, and remove it."""
    # A session makes the encoder of a folder once, so that each student has a name of its own.
    out = place / f"student-{base.name}-{rows.stem}-{weight:g}-{context.seed}"
    train(context, base, rows, out, "kl", weight, steps, NEGATIVES)
    queries, documents, encoder = encode(context, task, str(out), collection)
    made = measure(task, queries, documents, encoder)
    shutil.rmtree(out)
    out.with_name(f"{out.name}.json").unlink()
    return made


def gap(first: Sequence[Measured], second: Sequence[Measured]) -> float | None:
    """Return by how much the first curve lies above the second at equal FLOPS, on average over where both are.

    Between two points of a curve nDCG is taken to be linear in the logarithm of FLOPS. ``None`` where they do not meet.
    """
    curves = [sorted((np.log(m.flops), m.ndcg) for m in curve if m.flops > 0) for curve in (first, second)]
    if not all(curves):
        return None
    low, high = max(curve[0][0] for curve in curves), min(curve[-1][0] for curve in curves)
    if low > high:
        return None
    at = np.linspace(low, high, 11)
    values = [np.interp(at, *np.array(curve).T) for curve in curves]
    return float((values[0] - values[1]).mean())


def _curve(curves: dict[str, list[list[Measured]]], note: str) -> Finding:
    gaps = [gap(*pair) for pair in zip(curves["idf"], curves["ones"], strict=True)]
    met = [one for one in gaps if one is not None]
    shown = "; ".join(f"{name} {_points(curve)}" for name, curve in curves.items())
    return Finding(
        "trained with IDF in its scores, an encoder is better at equal FLOPS than one trained with uniform query weights",
        "the IDF-aware penalty is one of the two sources of +3.3 nDCG@10 on BEIR (its own share is not in the abstract)",
        tuple(met) or (0.0,),
        "nDCG@10 at equal FLOPS, on average over the curves",
        bool(np.mean(met) >= 0.0) if met else None,
        f"{note}; nDCG@10 at FLOPS, means: {shown}" + ("" if len(met) == len(gaps) else "; some curves do not meet"),
    )


def _points(curve: list[list[Measured]]) -> str:
    means = [
        (np.mean([m.ndcg for m in column]), np.mean([m.flops for m in column])) for column in zip(*curve, strict=True)
    ]
    return ", ".join(f"{quality:.3f} at {cost:.2f}" for quality, cost in means)


def _light(curves: dict[str, list[list[Measured]]], note: str) -> Finding:
    shares = {name: np.array([[m.light for m in points] for points in curve]) for name, curve in curves.items()}
    differences = (shares["idf"] - shares["ones"]).mean(axis=1)
    return Finding(
        "it keeps less of the documents' weight on the 5 % of terms with the lowest IDF",
        "low-IDF terms are what the penalty removes",
        tuple(differences.tolist()),
        "share of the weight, difference",
        bool((shares["idf"] < shares["ones"]).all()),
        f"{note}; shares {shares['idf'].mean():.3f} and {shares['ones'].mean():.3f}",
    )


def _teacher(quality: dict[str, float]) -> Finding:
    *members, whole = quality.values()
    shown = ", ".join(f"{name} {value:.3f}" for name, value in quality.items())
    return Finding(
        "the min-max average of a dense and a sparse encoder ranks at least as well as either",
        "the ensemble is the better teacher",
        (whole - max(members),),
        "nDCG@10 above the better member",
        whole >= max(members) - 0.002,
        f"documents ranked: the first 20 of BM25; {shown}; no seed plays a part",
    )


def _students(curves: dict[str, list[list[Measured]]], singles: list[list[Measured]], note: str) -> Finding:
    gains = [own[0].ndcg - max(m.ndcg for m in others) for own, others in zip(curves["idf"], singles, strict=True)]
    means = [np.mean([own[0].ndcg for own in curves["idf"]]), *np.mean([[m.ndcg for m in s] for s in singles], axis=0)]
    costs = [
        np.mean([own[0].flops for own in curves["idf"]]),
        *np.mean([[m.flops for m in s] for s in singles], axis=0),
    ]
    names = ("ensemble", "dense alone", "sparse alone")
    shown = ", ".join(f"{n} {q:.3f} at FLOPS {c:.2f}" for n, q, c in zip(names, means, costs, strict=True))
    return Finding(
        "its student is at least as good as the better student of one teacher",
        "heterogeneous ensemble distillation is the other source of +3.3 nDCG@10",
        tuple(float(gain) for gain in gains),
        "nDCG@10 above the better of the two",
        bool(np.mean(gains) >= -0.005),
        f"{note}; λ {WEIGHTS[0]}; {shown}",
    )
