"""W-PCA as it is computed here, beside the naive way and beside proxies with gradients.

    python benchmarks/w_pca_scoring.py
    python benchmarks/w_pca_scoring.py --hidden 528 --layers 12 --texts 16 --tokens 128 --json

Three comparisons, each in one run with rounds that alternate; a ratio above 1 says that the first side is faster, its median
over the rounds and its spread.

shared blocks      the candidates that a genetic search asks for, scored with blocks that began another candidate not run
                   again, and each by itself; the scores are the same
counting           eigenvalues of the smaller of the two products, and scikit-learn's PCA of the same outputs
gradients          a pass with the components counted, and one with the gradients of the feed-forward linears, which is what
                   a proxy by synaptic saliency takes; beside it the pass alone, so that the counting's share is seen
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import torch
from spaniel import Context
from spaniel.expression import Stage
from spaniel_neural.taps import FFN_BEFORE, MASK, OUTPUT, SYNAPSES
from spaniel_w_pca.principal import count_components

NLU = "nlu-bert-mobilebert"


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long something takes, and what it returns."""
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def ratio(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Return the median of the second over the first, and half its range."""
    ratios = [other / ours for ours, other in pairs]
    return {"ratio": statistics.median(ratios), "spread": (max(ratios) - min(ratios)) / 2}


def children(context: Context, space: Any, count: int) -> list[Any]:
    """Return what a genetic search asks for in its second and third generation, by the number of parameters."""
    size = max(4, count // 2)
    walker: Any = context.create("search_space", f"genetic(population={size}, parents={max(2, size // 5)}, redraw=10)")
    walker.start(space, np.random.default_rng(0))
    asked = []
    for _ in range(size + count):
        asked.append(walker.ask())
        walker.tell(asked[-1], space.counts(asked[-1])["parameters"])
    return asked[-count:]


def compare_sharing(context: Context, options: dict[str, Any], count: int, rounds: int) -> dict[str, Any]:
    """Score the children with shared blocks, and each by itself."""

    def make(shared: int) -> Any:
        # A session remembers the components that it made; each round begins with an empty one.
        known: Any = context.create("search_space", Stage(NLU, **options, shared=shared))
        return type(known)(known.config, context)

    asked = children(context, make(0), count)

    def score(shared: int) -> tuple[float, list[float], int]:
        space, proxy = make(shared), context.create("search_space", "w-pca")
        took, scores = seconds(lambda: [proxy.score(space, one, 0) for one in asked])
        return took, scores, space._prefixes.run if shared else 0

    score(256)
    pairs, run = [], 0
    for _ in range(rounds):
        (ours, ones, run), (theirs, others, _) = score(256), score(0)
        assert ones == others
        pairs.append((ours, theirs))
    layers = options["layers"]
    return {**ratio(pairs), "candidates": count, "blocks_run": run, "blocks": count * layers,
            "ms_per_candidate": 1000 * statistics.median(ours for ours, _ in pairs) / count}  # fmt: skip


def compare_counting(context: Context, options: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Count the components of one candidate's outputs here and by scikit-learn."""
    from sklearn.decomposition import PCA

    space: Any = context.create("search_space", Stage(NLU, **options))
    candidate = space.sample(np.random.default_rng(1))
    seen = space.forward(candidate, 0, [FFN_BEFORE, MASK])
    outputs = [block[0][seen[MASK]] for block in seen[FFN_BEFORE]]

    def theirs() -> list[int]:
        made = [PCA().fit(one.numpy()).explained_variance_ratio_.cumsum() for one in outputs]
        return [int((shares <= 0.99).sum()) + 1 for shares in made]

    pairs = []
    for _ in range(rounds + 1):
        ours, counts = seconds(lambda: [count_components(one, 0.99) for one in outputs])
        other, expected = seconds(theirs)
        pairs.append((ours, other))
    gap = max(abs(a - b) for a, b in zip(counts, expected, strict=True))
    return {**ratio(pairs[1:]), "largest_difference_of_counts": gap, "tokens": len(outputs[0])}


def compare_gradients(context: Context, options: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Time a pass with components, the pass alone, and a pass with gradients."""
    space: Any = context.create("search_space", Stage(NLU, **options, shared=0))
    proxy: Any = context.create("search_space", "v-pca")
    rng = np.random.default_rng(2)
    pairs, alone = [], []
    for number in range(rounds + 1):
        candidate = space.sample(rng)
        ours, _ = seconds(lambda one=candidate: proxy.score_taps(space.forward(one, 0, [FFN_BEFORE, MASK])))
        plain, _ = seconds(lambda one=candidate: space.forward(one, 0, [OUTPUT]))
        other, _ = seconds(lambda one=candidate: space.forward(one, 0, [SYNAPSES]))
        if number:
            pairs.append((ours, other))
            alone.append(plain / ours)
    return {**ratio(pairs), "share_of_the_pass": statistics.median(alone)}


@click.command()
@click.option("--hidden", default=96, show_default=True)
@click.option("--layers", default=6, show_default=True)
@click.option("--heads", default=4, show_default=True)
@click.option("--texts", default=16, show_default=True)
@click.option("--tokens", default=64, show_default=True)
@click.option("--candidates", default=20, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    hidden: int, layers: int, heads: int, texts: int, tokens: int, candidates: int, rounds: int, as_json: bool
) -> None:
    """Run the comparisons and print them."""
    options: dict[str, Any] = {
        "hidden": hidden, "layers": layers, "heads": heads, "ffn_units": hidden // 4, "batch_size": texts, "seq_len": tokens,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        context = Context(folder, device="cpu", offline=True)
        result = {
            "threads": torch.get_num_threads(),
            "shared blocks": compare_sharing(context, options, candidates, rounds),
            "counting": compare_counting(context, options, rounds),
            "gradients": compare_gradients(context, options, rounds),
        }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    shared, counting, gradients = result["shared blocks"], result["counting"], result["gradients"]
    click.echo(
        f"shared blocks  {shared['ratio']:.2f} ± {shared['spread']:.2f} times as fast "
        f"({shared['blocks_run']} of {shared['blocks']} blocks run, {shared['ms_per_candidate']:.0f} ms a candidate)"
    )
    click.echo(
        f"counting       {counting['ratio']:.2f} ± {counting['spread']:.2f} times as fast as scikit-learn's PCA "
        f"(counts differ by {counting['largest_difference_of_counts']} at most)"
    )
    click.echo(
        f"gradients      {gradients['ratio']:.2f} ± {gradients['spread']:.2f} times as long with gradients "
        f"(of our time the pass alone is {gradients['share_of_the_pass']:.0%})"
    )


if __name__ == "__main__":
    main()
