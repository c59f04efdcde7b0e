"""What a program costs in a search: mutating, typing, hashing, and training by it; and typing by meta tensors beside it.

python benchmarks/lion_programs.py
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
import torch
from spaniel import Context
from spaniel_lion.programs.arithmetic import work_of
from spaniel_lion.programs.forms import program_hash
from spaniel_lion.programs.program import Program, execute
from spaniel_lion.programs.signature import OPTIMIZER, Rank
from spaniel_lion.programs.text import parse_program
from spaniel_lion.programs.types import TYPES, is_valid


class Shapes:
    """The domain of torch's meta tensors: shapes are inferred by running every function without data."""

    def constant(self, number: float) -> Any:
        return number

    def apply(self, statement: Any, arguments: Sequence[Any]) -> Any:
        ranks = [
            Rank.SCALAR if not isinstance(a, list | tuple) else Rank.TREE if a[0].ndim else Rank.LEAVES
            for a in arguments
        ]
        if statement.function in ("global_norm", "dot", "cosine_sim", "clip_by_global_norm"):
            # They give numbers, which meta tensors do not have.
            return 0.5 if TYPES.apply(statement, ranks) == Rank.SCALAR else arguments[0]
        return work_of(statement.function, ranks)(*arguments)


def seconds(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Return the mean seconds of some work over items."""
    started = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - started) / len(items)


@click.command()
@click.option("--programs", default=300, show_default=True, help="Programs: a walk of mutations from AdamW.")
@click.option("--repeats", default=5, show_default=True, help="Times that all is measured.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(programs: int, repeats: int, as_json: bool) -> None:
    """Print microseconds a program, and ratios."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(folder)
        space: Any = context.create("search_space", "programs")
        proxy: Any = context.create("search_space", "digits")
        texts = [space.start]
        for _ in range(programs - 1):
            texts.append(space.mutate(texts[-1], rng))
        parsed = [parse_program(text, OPTIMIZER) for text in texts]
        shapes = [(64, 32), (32, 10)]
        meta = {n: [torch.empty(s, device="meta") for s in shapes] for n in "wgmv"} | {"lr": 1.0}

        def infer(program: Program) -> None:
            with np.errstate(all="ignore"):
                execute(program, meta, Shapes())

        sides: dict[str, tuple[Callable[[Any], Any], Sequence[Any]]] = {
            "mutate": (lambda text: space.mutate(text, rng), texts),
            "type by ranks": (lambda program: is_valid(program, OPTIMIZER), parsed),
            "type by meta tensors": (infer, parsed),
            "hash": (lambda program: program_hash(program, OPTIMIZER), parsed),
            "train": (lambda text: proxy.score(space, text, 0), texts[: max(1, programs // 10)]),
        }
        for work, items in sides.values():
            work(items[0])
        rounds = [{name: seconds(*side) for name, side in sides.items()} for _ in range(repeats)]
    times = {name: 1e6 * statistics.median(one[name] for one in rounds) for name in sides}
    abstract = [(one["mutate"] + one["hash"]) / one["train"] for one in rounds]
    typed = [one["type by ranks"] / one["type by meta tensors"] for one in rounds]
    result = {
        "microseconds": times,
        "abstract_share_of_training": statistics.median(abstract),
        "abstract_spread": [min(abstract), max(abstract)],
        "ranks_beside_meta_tensors": statistics.median(typed),
        "ranks_spread": [min(typed), max(typed)],
        "mean_statements": statistics.mean(len(program.statements) for program in parsed),
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for name, microseconds in times.items():
        click.echo(f"{name:<22} {microseconds:>10,.1f} µs a program")
    for key in ("abstract_share_of_training", "ranks_beside_meta_tensors"):
        click.echo(f"{key}: {result[key]:.4f}")


if __name__ == "__main__":
    main()
