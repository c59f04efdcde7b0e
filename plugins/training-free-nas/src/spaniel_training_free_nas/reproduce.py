"""The headline checks: proxies beside the losses of small networks that are trained here, and beside the published scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context
from spaniel.expression import Stage
from spaniel.reproduction import Finding, Reproduction
from spaniel_neural import taps
from spaniel_neural.probing import token_stream
from spaniel_neural.taps import flat
from spaniel_search.correlation import correlate
from spaniel_search.proxies import score_all

from spaniel_training_free_nas import bench
from spaniel_training_free_nas.architectures import Candidate
from spaniel_training_free_nas.report import agreements, encoder_correlations
from spaniel_training_free_nas.training import Schedule, masked_token_loss, next_token_loss

Floats = NDArray[np.float64]
FOLDER = "SPANIEL_NAS_BENCH"
"""Name of the variable that names the folder of the published benchmark."""
_TRAIN, _HELD_OUT = 100_000, 10_000
_CELLS, _STEPS = 20, 300
_ENCODER_STEPS = 300
_MATTERS = 0.1
"""Nats by which operations differ where they are said to matter."""
_OPS = ("SDP", "WMA", "DFT", "DCT", "DSC5", "DSC9")
_CHARACTERS: dict[str, Any] = {"tokenizer": "characters", "vocab_size": 128}
_CELL_PROXIES = {
    "layer 1": "hidden-covariance",
    "layer 3": "hidden-covariance(layer=3)",
    "jacobian covariance": "jacobian-covariance",
    "jacobian cosine": "jacobian-cosine",
    "activation distance": "activation-distance",
    "saliency": "synaptic-saliency",
    "parameters": "count",
}
_ENCODER_PROXIES = (
    "head-confidence",
    "synaptic-saliency",
    "synaptic-diversity",
    "activation-distance",
    "hidden-covariance",
)


def run(context: Context, scale: float, seeds: Sequence[int], collection: str = "python-docs") -> Reproduction:
    """Train small networks on the characters of a collection, and compare proxies with their losses.

    Args:
        context: the session.
        scale: multiplies the number of recurrent cells and the steps of training.
        seeds: each draws other cells, weights and batches.
        collection: whose documents are read.
    """
    sessions = {seed: context.reseeded(seed) for seed in seeds}
    cells = [_cells(context, sessions[seed], scale, collection) for seed in seeds]
    operations = [_operations(context, sessions[seed], scale, collection) for seed in seeds]
    vanish = tuple(_vanishing(session, collection) for session in sessions.values())
    findings = [*_cell_findings(cells, scale), *_operation_findings(operations), _vanishing_finding(vanish)]
    if os.environ.get(FOLDER):
        findings += _published(Path(os.environ[FOLDER]))
    return Reproduction(tuple(findings), seeds, scale)


def _cells(context: Context, session: Context, scale: float, data: str) -> dict[str, float]:
    """Return tau of each proxy with minus the loss, over classic and random cells; for ``""`` how many there are."""
    options = {"hidden": 64, "embedding": 64, "nodes": 16, "data": data, "batch": session.seed, **_CHARACTERS}
    space = session.create("search_space", Stage("rnn-cells", layers=3, **options))
    shallow = session.create("search_space", Stage("rnn-cells", layers=1, **options))
    stream = token_stream(session, shallow.config, shallow.config.vocab_size, _TRAIN + _HELD_OUT)
    rng = np.random.default_rng(session.seed)
    count = max(6, round(_CELLS * scale))
    drawn = [*space.seeds.values(), *(space.sample(rng) for _ in range(count - len(space.seeds)))]
    schedule = Schedule(max(20, round(_STEPS * scale)), texts=32, tokens=20, rate=1e-2)
    proxies = {name: session.create("search_space", expression) for name, expression in _CELL_PROXIES.items()}
    losses: list[float] = []
    scores: dict[str, list[float]] = {name: [] for name in proxies}
    with context.stage(f"recurrent cells, seed {session.seed}", count, "cells"):
        for cell in drawn:
            found = score_all(space, proxies, cell, session.seed)
            loss = next_token_loss(
                shallow.build(cell, session.seed), stream[_HELD_OUT:], stream[:_HELD_OUT], schedule, session.seed
            )
            context.advance(1)
            if np.isfinite(loss) and np.isfinite(list(found.values())).all():
                losses.append(loss)
                for name, value in found.items():
                    scores[name].append(value)
    made = {one.proxy: one.tau or 0.0 for one in correlate([-loss for loss in losses], scores, resamples=0)}
    return {**made, "": float(len(losses))}


def _cell_findings(cells: Sequence[dict[str, float]], scale: float) -> list[Finding]:
    def taus(name: str) -> tuple[float, ...]:
        return tuple(found[name] for found in cells)

    def size(name: str) -> float:
        return float(np.mean(np.abs(taus(name))))

    others = [name for name in _CELL_PROXIES if name not in ("layer 1", "layer 3", "parameters")]
    best = max(others, key=size)
    beside = ", ".join(f"{name} {np.mean(taus(name)):+.2f}" for name in (*others, "parameters"))
    steps = max(20, round(_STEPS * scale))
    note = f"{cells[0]['']:.0f} cells of one layer, 64 wide, each trained for {steps} steps on characters; beside it {beside}"
    return [
        Finding(
            "hidden covariance of layer 1 ranks recurrent networks",
            "Kendall tau 0.37 over 8,794 networks (NAS-Bench-NLP, trained in full)",
            taus("layer 1"),
            "tau-b",
            holds=float(np.mean(taus("layer 1"))) > 0.2,
            note=note,
        ),
        Finding(
            "it ranks them better than any other proxy",
            "0.37 against 0.28 for the next (more noised Jacobian cosine)",
            tuple(a - abs(b) for a, b in zip(taus("layer 1"), taus(best), strict=True)),
            f"tau-b above that of {best}",
            holds=float(np.mean(taus("layer 1"))) > size(best),
        ),
        Finding(
            "it ranks them better than the number of parameters",
            "0.37 against 0.03 (recomputed from the released files)",
            tuple(a - abs(b) for a, b in zip(taus("layer 1"), taus("parameters"), strict=True)),
            "tau-b above that of parameters",
            holds=float(np.mean(taus("layer 1"))) > size("parameters"),
        ),
        Finding(
            "the first layer says more than the third",
            "0.37 against 0.25",
            tuple(a - b for a, b in zip(taus("layer 1"), taus("layer 3"), strict=True)),
            "tau-b above that of layer 3",
            holds=float(np.mean(taus("layer 1"))) > float(np.mean(taus("layer 3"))),
        ),
    ]


def _operations(context: Context, session: Context, scale: float, data: str) -> dict[str, float]:
    """Train an encoder of each operation; return losses, and for each proxy tau with minus the loss."""
    options: dict[str, Any] = {
        "hidden": [64],
        "layers": [2],
        "ff_dim": [128],
        "num_ff": [1],
        "heads": [4],
        "embedding": 64,
    }
    options |= {"build": "declared", "data": data, "batch": session.seed, **_CHARACTERS}
    space = session.create("search_space", Stage("flexibert", **options))
    # Trained from larger weights: from the published ones nothing is learned in so few steps.
    trained = session.create("search_space", Stage("flexibert", std=0.125, **options))
    stream = token_stream(session, space.config, space.config.vocab_size, _TRAIN + _HELD_OUT)
    schedule = Schedule(max(20, round(_ENCODER_STEPS * scale)), texts=32, tokens=32, rate=3e-3)
    proxies = {name: session.create("search_space", name) for name in (*_ENCODER_PROXIES, "count")}
    losses, scores = {}, {}
    with context.stage(f"encoders, seed {session.seed}", len(_OPS), "encoders"):
        for op in _OPS:
            candidate: Candidate = {"hidden": 64, "layers": [{"op": op, "heads": 4, "ff": 128, "num_ff": 1}] * 2}
            scores[op] = score_all(space, proxies, candidate, session.seed)
            losses[op] = masked_token_loss(
                trained.build(candidate, session.seed), stream[_HELD_OUT:], stream[:_HELD_OUT], schedule, session.seed
            )
            context.advance(1)
    columns = {name: [scores[op][name] for op in _OPS] for name in proxies}
    found = correlate([-losses[op] for op in _OPS], columns, resamples=0)
    return {**losses, **{one.proxy: one.tau or 0.0 for one in found}}


def _operation_findings(found: Sequence[dict[str, float]]) -> list[Finding]:
    means = {op: float(np.mean([one[op] for one in found])) for op in _OPS}
    spread = tuple(max(one[op] for op in _OPS) - min(one[op] for op in _OPS) for one in found)
    told = ", ".join(f"{op} {loss:.2f}" for op, loss in sorted(means.items(), key=lambda pair: pair[1]))
    taus = {name: float(np.mean([one[name] for one in found])) for name in (*_ENCODER_PROXIES, "count")}
    best = max(_ENCODER_PROXIES, key=lambda name: abs(taus[name]))
    return [
        Finding(
            "operations matter where they are trained as declared",
            "not seen in the released scores: no operation differs by more than 0.9 GLUE points (|t| < 1.5)",
            spread,
            "nats between the best and the worst of six operations",
            holds=float(np.mean(spread)) > _MATTERS,
            note=f"encoders of two blocks, 64 wide, masked characters; {told}",
        ),
        Finding(
            "no proxy sees much more than size does",
            "attention confidence 0.49, parameters 0.44 (the published networks differ in size alone)",
            tuple(abs(one[best]) for one in found),
            f"|tau-b| of {best} with minus the loss over the six operations",
            note=", ".join(f"{name} {tau:+.2f}" for name, tau in taus.items()) + "; six networks a seed",
        ),
    ]


def _vanishing(session: Context, data: str) -> float:
    """Return how large gradients of the plain sum of outputs are beside those under random signs."""
    candidate: Candidate = {"hidden": 128, "layers": [{"op": "SDP", "heads": 2, "ff": 512, "num_ff": 1}] * 2}
    sizes = []
    for readout in ("sum", "signs"):
        options = {"data": data, "batch": session.seed, "batch_size": 4, "seq_len": 64, "readout": readout}
        space = session.create("search_space", Stage("flexibert", **options))
        weights = flat(space.forward(candidate, session.seed, [taps.SYNAPSES])[taps.SYNAPSES])
        sizes.append(float(torch.stack([one.gradient.square().sum() for one in weights]).sum().sqrt()))
    return sizes[0] / sizes[1]


def _vanishing_finding(ratios: tuple[float, ...]) -> Finding:
    return Finding(
        "the published gradients of encoders say something of them",
        "saliency, diversity, head importance and Jacobian scores of Σ last_hidden_state",
        ratios,
        "norm of the gradient, beside that of outputs under random signs",
        holds=max(ratios) > 1e-3,
        note="a fresh layer normalisation makes that sum 0 whatever the weights, so that its gradients are rounding errors; "
        "the default here is random signs",
    )


def _published(folder: Path) -> list[Finding]:
    """Recompute what the released files say, where there are any."""
    encoders = bench.read_encoders(folder)
    found = {(one.stratum, one.proxy): one.tau or 0.0 for one in encoder_correlations(folder, encoders)}
    loss, columns = bench.cells(folder)
    (hidden,) = agreements(-loss, {"hidden": columns["Layer 1 Hidden Covariance"]}, {})
    proxies = [name for name in bench.encoder_proxies(folder) if name != "Number of Parameters"]
    within = max(abs(found[stratum, name]) for stratum in ("2", "4") for name in proxies)
    return [
        Finding(
            "released files: hidden covariance ranks recurrent networks",
            "0.37",
            (hidden.tau or 0.0,),
            "tau-b",
            holds=abs((hidden.tau or 0) - 0.372) < 1e-3,
        ),
        Finding(
            "released files: attention confidence beside the number of blocks",
            "0.49 (0.478 in the files)",
            (found["all", "Head Confidence"],),
            "tau-b",
            holds=found["all", "Head Confidence"] > found["all", "layers"],
            note=f"the number of blocks alone {found['all', 'layers']:.3f}, parameters of the networks as trained "
            f"{found['all', 'parameters as trained']:.3f}",
        ),
        Finding(
            "released files: the best of the proxies among encoders of equal depth",
            "not reported",
            (within,),
            "|tau-b|",
            holds=within > 0.2,
            note=f"the width alone {found['2', 'hidden size']:.2f} and {found['4', 'hidden size']:.2f}",
        ),
    ]
