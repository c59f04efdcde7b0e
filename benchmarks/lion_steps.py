"""A step of Lion, one by one, many at once and compiled, beside AdamW of torch and lion-pytorch, in one run.

The parameters have the shapes of MiniLM's (22.6 million in 103 tensors), the gradients are random.

python benchmarks/lion_steps.py
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import torch
from spaniel_lion.lion import Lion
from spaniel_lion.program_optimizer import ProgramOptimizer
from spaniel_lion.programs.published import read_program
from spaniel_lion.programs.signature import OPTIMIZER
from spaniel_train.optimizers import state_bytes

WIDTH, INNER, VOCABULARY, PLACES = 384, 1536, 30522, 512


def shapes_of(layers: int) -> list[tuple[int, ...]]:
    """Return the shapes of a BERT of MiniLM's width."""
    block: list[tuple[int, ...]] = [(WIDTH, WIDTH), (WIDTH,)] * 4 + [(WIDTH,)] * 2
    block += [(INNER, WIDTH), (INNER,), (WIDTH, INNER), (WIDTH,), (WIDTH,), (WIDTH,)]
    tables: list[tuple[int, ...]] = [(VOCABULARY, WIDTH), (PLACES, WIDTH), (2, WIDTH), (WIDTH,), (WIDTH,)]
    return tables + layers * block + [(WIDTH, WIDTH), (WIDTH,)]


def sides() -> dict[str, Callable[[Any], torch.optim.Optimizer]]:
    """Return what is compared; lion-pytorch where it is installed."""
    decay: dict[str, Any] = {"lr": 1e-4, "weight_decay": 0.01}
    found: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        "lion single": partial(Lion, **decay, steps="single"),
        "lion foreach": partial(Lion, **decay, steps="foreach"),
        "lion compiled": partial(Lion, **decay, steps="compiled"),
        "lion compiled bfloat16": partial(Lion, **decay, steps="compiled", momentum_dtype="bfloat16"),
        "lion as a program": partial(ProgramOptimizer, program=read_program("lion", OPTIMIZER)),
        "adamw single": partial(torch.optim.AdamW, **decay, foreach=False),
        "adamw foreach": partial(torch.optim.AdamW, **decay, foreach=True),
        "adamw fused": partial(torch.optim.AdamW, **decay, fused=True),
    }
    try:
        from lion_pytorch import Lion as Peer
        from lion_pytorch.foreach import Lion as PeerForeach
    except ImportError:
        return found
    peers = {"lion-pytorch": partial(Peer, **decay), "lion-pytorch foreach": partial(PeerForeach, **decay)}
    return {**found, **peers}


@click.command()
@click.option("--layers", default=6, show_default=True, help="Blocks of the model.")
@click.option("--repeats", default=7, show_default=True, help="Steps of each side, in turn.")
@click.option("--base", default="adamw foreach", show_default=True, help="The side that the others are divided by.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(layers: int, repeats: int, base: str, as_json: bool) -> None:
    """Print milliseconds of a step, the ratio to the base with its spread (below 1: faster), and bytes of state."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes_of(layers)]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator)
    optimizers = {name: make(weights) for name, make in sides().items()}
    for optimizer in optimizers.values():
        optimizer.step()  # the first one makes the state, and compiles
    times: dict[str, list[float]] = {name: [] for name in optimizers}
    for _ in range(repeats):
        for name, optimizer in optimizers.items():
            started = time.perf_counter()
            optimizer.step()
            times[name].append(time.perf_counter() - started)
    size = sum(weight.numel() * weight.element_size() for weight in weights)
    result = {"parameters": size // 4, "tensors": len(weights), "threads": torch.get_num_threads()}
    rows = {}
    for name, taken in times.items():
        ratios = [a / b for a, b in zip(taken, times[base], strict=True)]
        rows[name] = {
            "ms": 1000 * statistics.median(taken),
            "ratio": statistics.median(ratios),
            "spread": [min(ratios), max(ratios)],
            "state_share": state_bytes(optimizers[name]) / size,
        }
    if as_json:
        click.echo(json.dumps({**result, "sides": rows}, indent=2))
        return
    click.echo(f"{result['parameters']:,} parameters in {len(weights)} tensors, {result['threads']} threads")
    for name, row in rows.items():
        low, high = row["spread"]  # type: ignore[misc]
        click.echo(
            f"{name:<24} {row['ms']:>8.1f} ms  {row['ratio']:.2f} ({low:.2f} to {high:.2f}) of {base}  "
            f"state {row['state_share']:.2f} of the weights"
        )


if __name__ == "__main__":
    main()
