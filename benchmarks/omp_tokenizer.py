"""Batched matching pursuit beside scikit-learn's, a plain batched one, one over the Gram matrix, and fewer atoms.

All on the same vectors and in one run. With two folders of tokenizers the vocabularies are real ones: their tokens are
matched, and vectors of that many tokens are made, so that memory is seen at full size.

python benchmarks/omp_tokenizer.py --atoms 15000 --dimensions 384 --targets 256
python benchmarks/omp_tokenizer.py --base llama3/models --donor qwen3/models --dimensions 256
"""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from spaniel_omp_tokenizer.layout import read_tokenizer
from spaniel_omp_tokenizer.matching import match
from spaniel_omp_tokenizer.pursuit import pursue
from spaniel_omp_tokenizer.vocabulary import read_vocabulary


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long something takes, and what it returns."""
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def plain(targets: torch.Tensor, atoms: torch.Tensor, k: int) -> torch.Tensor:
    """Choose atoms as one would write it down: a mask of all atoms, and the residual anew in every step."""
    count, size = targets.shape
    basis = torch.zeros(count, size, k)
    used = torch.zeros(count, len(atoms), dtype=torch.bool)
    chosen = torch.zeros(count, k, dtype=torch.int64)
    residual = targets
    for step in range(k):
        products = (residual @ atoms.T).abs().masked_fill(used, -1)
        chosen[:, step] = products.argmax(1)
        used[torch.arange(count), chosen[:, step]] = True
        atom = atoms[chosen[:, step]]
        known = basis[:, :, :step]
        outside = atom - torch.bmm(known, torch.bmm(known.transpose(1, 2), atom[..., None]))[..., 0]
        basis[:, :, step] = outside / outside.norm(dim=1, keepdim=True)
        known = basis[:, :, : step + 1]
        residual = targets - torch.bmm(known, torch.bmm(known.transpose(1, 2), targets[..., None]))[..., 0]
    return chosen


def by_gram(targets: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor, k: int) -> torch.Tensor:
    """Choose atoms by products of atoms with atoms (Rubinstein et al., Batch-OMP, 2008), which do not need the residual."""
    count = len(targets)
    first = targets @ atoms.T
    chosen = torch.zeros(count, k, dtype=torch.int64)
    products = first
    for step in range(k):
        size = products.abs()
        size.scatter_(1, chosen[:, :step], -1.0)
        chosen[:, step] = size.argmax(1)
        support = chosen[:, : step + 1]
        square = gram[support[:, :, None], support[:, None, :]]
        weights = torch.linalg.solve(square, first.gather(1, support))
        products = first - torch.nn.functional.embedding_bag(support, gram, per_sample_weights=weights, mode="sum")
    return chosen


def preselected(targets: torch.Tensor, atoms: torch.Tensor, k: int, kept: int) -> list[torch.Tensor]:
    """Choose among the ``kept`` atoms that resemble each target most."""
    near = (targets @ atoms.T).abs().topk(kept, dim=1).indices
    return [rows[pursue(target[None], atoms[rows], k).indices[0]] for target, rows in zip(targets, near, strict=True)]


def vectors_of(shared: int, new: int, dimensions: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Make vectors of as many tokens, with directions that fall off as those of real ones do."""
    falling = torch.arange(1, dimensions + 1) ** -0.5
    return tuple(torch.randn(n, dimensions, generator=generator) * falling for n in (new, shared))  # type: ignore[return-value]


def real(base: Path, donor: Path) -> tuple[int, int, float]:
    """Match two real vocabularies: shared tokens, new tokens, seconds."""
    ours, theirs = (read_vocabulary(read_tokenizer(folder)) for folder in (base, donor))
    taken, found = seconds(lambda: match(ours, theirs))
    return len(found.exact), len(found.new), taken


@click.command()
@click.option("--atoms", default=15_000, show_default=True, help="Shared tokens.")
@click.option("--targets", default=256, show_default=True, help="New tokens.")
@click.option("--dimensions", default=384, show_default=True, help="Of the donor's vectors.")
@click.option("-k", default=64, show_default=True, help="Atoms of a token.")
@click.option("--base", type=click.Path(exists=True, path_type=Path), help="Folder of a tokenizer.")
@click.option("--donor", type=click.Path(exists=True, path_type=Path), help="Folder of another.")
@click.option("--repeats", default=3, show_default=True, help="Runs of each side, in turn.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    atoms: int,
    targets: int,
    dimensions: int,
    k: int,
    base: Path | None,
    donor: Path | None,
    repeats: int,
    as_json: bool,
) -> None:
    """Print seconds of every side, and ratios (below 1: ours is faster)."""
    from sklearn.linear_model import orthogonal_mp

    result: dict[str, Any] = {}
    new = targets
    if base is not None and donor is not None:
        atoms, new, taken = real(base, donor)
        result |= {"shared_tokens": atoms, "new_tokens": new, "matching_seconds": taken}
    wanted, known = vectors_of(atoms, targets, dimensions, torch.Generator().manual_seed(0))
    pursue(wanted[:2], known, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pursue(wanted, known, k)
    result["ours_extra_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    unit = known / known.norm(dim=1, keepdim=True)
    few = min(8, targets)
    rounds = []
    for _ in range(repeats):
        ours, found = seconds(lambda: pursue(wanted, known, k))
        theirs, same = seconds(lambda: plain(wanted, known, k))
        peer, _ = seconds(lambda: orthogonal_mp(unit.T.numpy(), wanted[:few].T.numpy(), n_nonzero_coefs=k))
        rounds.append((ours, theirs, peer * targets / few))
    ours, theirs, peer = (statistics.median(side) for side in zip(*rounds, strict=True))
    result |= {
        "atoms": atoms,
        "targets": targets,
        "dimensions": dimensions,
        "k": k,
        "threads": torch.get_num_threads(),
        "ours_seconds": ours,
        "ours_seconds_for_all_new": ours * new / targets,
        "plain_seconds": theirs,
        "plain_ratio": ours / theirs,
        "plain_spread": [min(o / t for o, t, _ in rounds), max(o / t for o, t, _ in rounds)],
        "plain_same_atoms": float((same == found.indices).float().mean()),
        "sklearn_seconds": peer,
        "sklearn_ratio": ours / peer,
        "sklearn_spread": [min(o / p for o, _, p in rounds), max(o / p for o, _, p in rounds)],
    }
    if atoms <= 20_000:
        gram_seconds, gram = seconds(lambda: known @ known.T)
        taken, chosen = seconds(lambda: by_gram(wanted, known, gram, k))
        result |= {
            "gram_matrix_seconds": gram_seconds,
            "gram_ratio": ours / taken,
            "gram_same_atoms": float((chosen == found.indices).float().mean()),
        }
        del gram
    for share in (4, 16):
        taken, rows = seconds(lambda share=share: preselected(wanted[:few], known, k, min(atoms, share * k)))  # type: ignore[misc]
        whole = [set(line) for line in found.indices[:few].tolist()]
        equal = [len(set(r.tolist()) & w) / k for r, w in zip(rows, whole, strict=True)]
        result |= {
            f"best_{share}k_ratio": ours / (taken * targets / few),
            f"best_{share}k_same_atoms": float(np.mean(equal)),
        }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for key, value in result.items():
        click.echo(f"{key:<26} {', '.join(f'{v:.4g}' for v in (value if isinstance(value, list) else [value]))}")


if __name__ == "__main__":
    main()
