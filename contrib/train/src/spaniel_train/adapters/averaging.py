"""The mean of weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from spaniel import Context, UsageError
from spaniel.learning import read_lessons, write_lessons
from spaniel_neural.locating import download_model

from spaniel_train.config import AverageConfig


class Average:
    """A uniform or weighted model soup (Wortsman et al., 2022, section 2).

    Every file but the weights is the first model's. Floating point numbers are averaged in double precision and stored in
    the first model's; others, such as tables of positions, must be the same in all.
    """

    def __init__(self, config: AverageConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digests of the other models' weights."""
        folders = [self._locate(name) for name in self.config.models]
        files = [(folder, path) for folder in folders for path in _weights(folder)]
        return {f"{folder}/{path}": self.context.store.digest_of(folder / path) for folder, path in files}

    def adapt(self, model: Path, out: Path) -> Mapping[str, Any]:
        """Write the mean of the model and the others.

        Raises:
            UsageError: a model has other weights, or weights of other shapes.
        """
        others = [self._locate(name) for name in self.config.models]
        first = 1 / (1 + len(others)) if self.config.weight is None else self.config.weight
        shares = [first, *[(1 - first) / len(others)] * len(others)]
        names = _weights(model)
        if not names:
            raise UsageError(f"{model} has no weights in safetensors")
        shutil.copytree(model, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.pt"))
        write_lessons(out, [lesson for folder in (model, *others) for lesson in read_lessons(folder)])
        distance, tensors = 0.0, 0
        for name in names:
            made, moved = _mean([folder / name for folder in (model, *others)], shares)
            with safe_open(model / name, "pt") as file:
                metadata = file.metadata()
            save_file(made, out / name, metadata)
            distance += moved
            tensors += len(made)
        return {"shares": shares, "tensors": tensors, "distance from the first": distance**0.5}

    def _locate(self, name: str) -> Path:
        return download_model(name, None, self.context.offline)


def _weights(folder: Path) -> list[Path]:
    return [path.relative_to(folder) for path in sorted(folder.rglob("*.safetensors"))]


def _mean(paths: list[Path], shares: list[float]) -> tuple[dict[str, torch.Tensor], float]:
    """Return the mean of files, and its squared distance from the first."""
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise UsageError(f"models are averaged that have the same files, and there is no {absent[0]}")
    made: dict[str, torch.Tensor] = {}
    moved = 0.0
    with safe_open(paths[0], "pt") as first:
        opened = [first, *(safe_open(path, "pt") for path in paths[1:])]
        for path, file in zip(paths, opened, strict=True):
            differing = sorted(set(first.keys()) ^ set(file.keys()))
            if differing:
                raise UsageError(f"{paths[0]} and {path} differ in their weights; the first is {differing[0]}")
        for name in first.keys():  # noqa: SIM118 - it is no mapping
            tensors = [file.get_tensor(name) for file in opened]
            if len({tuple(tensor.shape) for tensor in tensors}) > 1:
                raise UsageError(f"{name} has another shape in {paths[0]} than in one of the other models")
            if not tensors[0].is_floating_point():
                if any(not torch.equal(tensors[0], tensor) for tensor in tensors[1:]):
                    raise UsageError(f"{name} holds whole numbers, which differ between the models and have no mean")
                made[name] = tensors[0]
                continue
            mean = sum((s * t.double() for s, t in zip(shares, tensors, strict=True)), torch.zeros(()))
            moved += float(((mean - tensors[0].double()) ** 2).sum())
            made[name] = mean.to(tensors[0].dtype).contiguous()
    return made, moved
