"""All proxies of an architecture from one pass, beside one pass for each of them, as the published code's users run them.

    python benchmarks/training_free_nas_passes.py
    python benchmarks/training_free_nas_passes.py --texts 16 --tokens 128 --json

Both sides build the same encoders of the FlexiBERT space and give the same scores. Rounds alternate; a ratio is the time of
the passes of their own over that of the shared one in the same round (above 1: sharing is faster), its median over the
rounds and its spread. The proxies that need no gradient are timed apart, and beside them is what counting parameters takes.
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
from spaniel import Context
from spaniel.expression import Stage
from spaniel_search.proxies import score_all

GRADIENT = (
    "jacobian-covariance",
    "jacobian-cosine",
    "synaptic-saliency",
    "synaptic-diversity",
    "head-importance",
    "hidden-saliency",
)
FORWARD = ("hidden-covariance", "activation-distance", "head-confidence", "softmax-confidence")


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long something takes, and what it returns."""
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def compare(context: Context, space: Any, names: tuple[str, ...], candidates: list[Any], rounds: int) -> dict[str, Any]:
    """Time a shared pass and passes of their own in turn, each warmed up once."""
    proxies = {name: context.create("search_space", name) for name in names}

    def shared() -> list[dict[str, float]]:
        return [score_all(space, proxies, one, 0) for one in candidates]

    def apart() -> list[dict[str, float]]:
        return [{name: proxy.score(space, one, 0) for name, proxy in proxies.items()} for one in candidates]

    first, second = shared(), apart()
    gap = max(abs(a[n] - b[n]) / max(1, abs(b[n])) for a, b in zip(first, second, strict=True) for n in names)
    times = [(seconds(shared)[0], seconds(apart)[0]) for _ in range(rounds)]
    ratios = [own / one for one, own in times]
    return {
        "proxies": len(names),
        "ms_per_candidate": 1000 * statistics.median(one for one, _ in times) / len(candidates),
        "ratio": statistics.median(ratios),
        "spread": (max(ratios) - min(ratios)) / 2,
        "largest_relative_difference": gap,
    }


@click.command()
@click.option("--texts", default=8, show_default=True)
@click.option("--tokens", default=64, show_default=True)
@click.option("--candidates", default=4, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(texts: int, tokens: int, candidates: int, rounds: int, as_json: bool) -> None:
    """Run the comparison and print it."""
    with tempfile.TemporaryDirectory() as folder:
        context = Context(folder, device="cpu")
        space = context.create("search_space", Stage("flexibert", batch_size=texts, seq_len=tokens, build="declared"))
        rng = np.random.default_rng(0)
        drawn = [space.sample(rng) for _ in range(candidates)]
        result: dict[str, Any] = {
            name: compare(context, space, names, drawn, rounds)
            for name, names in (("forward only", FORWARD), ("with gradients", FORWARD + GRADIENT))
        }
        built = statistics.median(seconds(lambda: [space.build(one, 0) for one in drawn])[0] for _ in range(rounds))
        counted = statistics.median(seconds(lambda: [space.counts(one) for one in drawn])[0] for _ in range(rounds))
    result["build_ms"], result["count_ms"] = 1000 * built / candidates, 1000 * counted / candidates
    if as_json:
        click.echo(json.dumps(result))
        return
    for name in ("forward only", "with gradients"):
        one = result[name]
        click.echo(
            f"{name:<15} {one['proxies']:>2} proxies  {one['ms_per_candidate']:7.0f} ms a candidate  "
            f"one pass each takes {one['ratio']:.2f} ± {one['spread']:.2f} times as long"
        )
    click.echo(f"building a candidate {result['build_ms']:.0f} ms, counting its parameters {result['count_ms']:.3f} ms")


if __name__ == "__main__":
    main()
