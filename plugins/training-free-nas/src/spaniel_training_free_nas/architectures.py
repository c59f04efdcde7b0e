"""Candidates of the FlexiBERT space: what they are, how they change, and how large they are; no torch.

A candidate is ``{"hidden": 256, "layers": [{"op": "SDP", "heads": 4, "ff": 1024, "num_ff": 3}, …]}``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import UsageError

if TYPE_CHECKING:
    from spaniel_training_free_nas.config import FlexiBertConfig

Candidate = dict[str, Any]
GENES = ("op", "heads", "ff", "num_ff")
FAMILIES = (("SDP", "WMA"), ("DFT", "DCT"), ("DSC5", "DSC9"))
"""Operations that differ in a parameter alone; a family is drawn first, then one of its own."""
_REFERENCE_HIDDEN, _REFERENCE_WIDTH = 256, 1024


def size(config: FlexiBertConfig) -> int:
    """Return how many candidates there are: widths × Σ choices of a block ^ blocks."""
    block = len(config.ops) * len(config.heads) * len(config.ff_dim) * len(config.num_ff)
    return len(config.hidden) * sum(int(block**layers) for layers in config.layers)


def choices(config: FlexiBertConfig) -> dict[str, tuple[Any, ...]]:
    """Return the values of each gene of a block."""
    return {"op": config.ops, "heads": config.heads, "ff": config.ff_dim, "num_ff": config.num_ff}


def sample(config: FlexiBertConfig, pick: Any) -> Candidate:
    """Draw a candidate in the order in which the published benchmark was drawn.

    Args:
        pick: draws one of a sequence, all equally likely.
    """
    families = [kept for family in FAMILIES if (kept := [op for op in family if op in config.ops])]
    hidden, layers = pick(config.hidden), pick(config.layers)
    return {"hidden": hidden, "layers": [_block(config, families, pick) for _ in range(layers)]}


def _block(config: FlexiBertConfig, families: Sequence[Sequence[str]], pick: Any) -> dict[str, Any]:
    op = pick(pick(families))
    return {"op": op, "heads": pick(config.heads), "ff": pick(config.ff_dim), "num_ff": pick(config.num_ff)}


def published(config: FlexiBertConfig, n: int) -> list[Candidate]:
    """Return the first candidates of the published benchmark, drawn as its authors drew them (seed 0)."""
    stream = random.Random(0)
    return [sample(config, stream.choice) for _ in range(n)]


def picker(rng: np.random.Generator) -> Any:
    """Return what draws one of a sequence by a numpy stream."""
    return lambda values: values[int(rng.integers(len(values)))]


def mutate(config: FlexiBertConfig, candidate: Candidate, rng: np.random.Generator) -> Candidate:
    """Return a candidate with one gene changed: the width, the number of blocks, or one of a block."""
    pick = picker(rng)
    layers = [dict(layer) for layer in candidate["layers"]]
    moves: list[tuple[str, int]] = []
    moves += [("hidden", 0)] * (len(config.hidden) > 1) + [("layers", 0)] * (len(config.layers) > 1)
    moves += [(gene, at) for gene, values in choices(config).items() if len(values) > 1 for at in range(len(layers))]
    if not moves:
        return {"hidden": candidate["hidden"], "layers": layers}
    gene, at = moves[int(rng.integers(len(moves)))]
    if gene == "hidden":
        return {"hidden": pick([one for one in config.hidden if one != candidate["hidden"]]), "layers": layers}
    if gene == "layers":
        wanted = pick([one for one in config.layers if one != len(layers)])
        return {"hidden": candidate["hidden"], "layers": resized(layers, wanted, rng)}
    layers[at][gene] = pick([one for one in choices(config)[gene] if one != layers[at][gene]])
    return {"hidden": candidate["hidden"], "layers": layers}


def resized(layers: Sequence[Mapping[str, Any]], wanted: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return blocks in another number: some left out, or some repeated."""
    kept = [dict(layer) for layer in layers]
    while len(kept) > wanted:
        kept.pop(int(rng.integers(len(kept))))
    while len(kept) < wanted:
        at = int(rng.integers(len(kept)))
        kept.insert(at, dict(kept[at]))
    return kept


def cross(first: Candidate, second: Candidate, rng: np.random.Generator) -> Candidate:
    """Return a candidate with the width and the depth of either, and each block from either."""
    hidden = (first, second)[int(rng.integers(2))]["hidden"]
    depth = len((first, second)[int(rng.integers(2))]["layers"])
    pair = [resized(one["layers"], depth, rng) for one in (first, second)]
    return {"hidden": hidden, "layers": [dict(pair[int(rng.integers(2))][at]) for at in range(depth)]}


def validate(config: FlexiBertConfig, candidate: Any) -> None:
    """Check a candidate.

    Raises:
        UsageError: it does not belong to the space.
    """
    if not isinstance(candidate, dict) or set(candidate) != {"hidden", "layers"}:
        raise UsageError(f"{candidate!r} is no candidate: it has hidden and layers")
    _among("hidden", candidate["hidden"], config.hidden)
    layers = candidate["layers"]
    if not isinstance(layers, list) or len(layers) not in config.layers:
        raise UsageError(f"layers is a list of {' or '.join(map(str, config.layers))} blocks, not {layers!r}")
    for number, layer in enumerate(layers, 1):
        if not isinstance(layer, dict) or set(layer) != set(GENES):
            raise UsageError(f"block {number} has {', '.join(GENES)}; this is {layer!r}")
        for gene, values in choices(config).items():
            _among(f"{gene} of block {number}", layer[gene], values)


def _among(what: str, value: Any, values: Sequence[Any]) -> None:
    if type(value) is not type(values[0]) or value not in values:
        raise UsageError(f"{what} is {value!r}; it can be {', '.join(map(str, values))}")


def canonical(config: FlexiBertConfig, candidate: Candidate) -> Candidate:
    """Return the candidate as it is built: genes without effect have the first value that the space gives them."""
    layers = []
    for layer in candidate["layers"]:
        made = {gene: layer[gene] for gene in GENES}
        if config.build == "as-trained" and not config.compat:
            made["op"] = config.ops[0]
        if config.compat or (config.build != "declared" and layer["num_ff"] == 1):
            made["ff"] = config.ff_dim[0]
        layers.append(made)
    return {"hidden": config.hidden[0] if config.compat else candidate["hidden"], "layers": layers}


def built(config: FlexiBertConfig, candidate: Candidate) -> tuple[int, list[tuple[str, int, tuple[int, ...]]]]:
    """Return the width of the model, and for each block its operation, heads and feed-forward widths, as they are built."""
    hidden = _REFERENCE_HIDDEN if config.compat else int(candidate["hidden"])
    blocks = []
    for layer in candidate["layers"]:
        count = layer["num_ff"]
        if config.compat:
            op, widths = layer["op"], (_REFERENCE_WIDTH,) * count
        elif config.build == "declared":
            op, widths = layer["op"], (layer["ff"],) * count
        else:
            op = "SDP" if config.build == "as-trained" else layer["op"]
            widths = (4 * hidden, *(layer["ff"],) * (count - 1))
        blocks.append((op, layer["heads"], widths))
    return hidden, blocks


def count(config: FlexiBertConfig, candidate: Candidate) -> dict[str, float]:
    """Return sizes of a candidate as it is built.

    Returns:
        ``parameters``, with embeddings and without; ``depth``, ``hidden``; ``flops`` of a text of ``seq_len`` tokens, where
        a multiplication and an addition are two.
    """
    hidden, blocks = built(config, candidate)
    width, tokens = config.embedding, config.seq_len
    project = width * hidden + hidden if width != hidden else 0
    embeddings = (config.vocab_size + config.positions + 2) * width + 2 * width + project
    parameters, flops = 0, 2 * tokens * project
    for op, heads, widths in blocks:
        linears, other, more = _operation(op, hidden, heads, tokens)
        if not (config.compat and op in ("DFT", "DCT")):
            linears, other = linears + hidden * hidden, other + hidden + 2 * hidden
        sizes = (hidden, *widths, hidden)
        linears += sum(a * b for a, b in pairwise(sizes))
        parameters += linears + other + sum(sizes[1:]) + 2 * hidden
        flops += 2 * tokens * linears + more
    return {
        "parameters": embeddings + parameters,
        "parameters without embeddings": parameters,
        "depth": len(blocks),
        "hidden": hidden,
        "flops": flops,
    }


def _operation(op: str, hidden: int, heads: int, tokens: int) -> tuple[int, int, int]:
    """Return weights of linears, other parameters, and operations beyond those of linears."""
    squared = hidden * hidden
    if op in ("DFT", "DCT"):
        grid = tokens * hidden
        return squared, hidden, int(5 * grid * np.log2(max(2, tokens * hidden // heads)))
    if op.startswith("DSC"):
        kernel, inner = int(op.removeprefix("DSC")), hidden // 2
        spots = heads // 2 * kernel
        linears = 5 * hidden * inner + inner * spots + hidden * kernel
        return linears, 5 * inner + spots, 4 * tokens * tokens * inner + 2 * tokens * inner * kernel
    extra = squared if op == "WMA" else 0
    return 3 * squared + extra, 3 * hidden, 4 * tokens * tokens * hidden
