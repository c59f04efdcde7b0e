"""A training on disk: what it is, its last checkpoint, its best weights. Each file appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from spaniel import ArtifactError, PluginError, UsageError
from torch import nn

_JOB, _STATE, _WEIGHTS, _BEST = "job.json", "state.json", "weights.safetensors", "best.safetensors"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: the next one, counted from 0.
        losses: of each objective, and of their sum, over the steps.
        evaluations: step → what was measured.
        best: the best value measured, and its step.
        waited: evaluations since then.
        seconds: that steps took, and of them the optimizers; evaluations are not counted.
    """

    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)
    evaluations: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_step: int | None = None
    waited: int = 0
    seconds: float = 0.0
    optimizer_seconds: float = 0.0


class Workplace:
    """The folder of a training that is not finished.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, job: Mapping[str, Any], resume: bool, again: bool) -> None:
        """Make the folder, or go on with the one that is there.

        Args:
            job: what decides the result; a training that is gone on with must have the same.

        Raises:
            UsageError: a training was stopped here and the user does not say what to do, or it was another one.
        """
        path = self.folder / _JOB
        if again and self.folder.exists():
            shutil.rmtree(self.folder)
        if path.is_file():
            if not resume:
                raise UsageError(
                    f"a training was stopped here after {self.reached()} steps: --resume goes on with it, --again throws it "
                    "away"
                )
            told = _read(path)
            changed = sorted(key for key in told.keys() | job.keys() if told.get(key) != job.get(key))
            if changed:
                raise UsageError(
                    f"the training that was stopped here was another one: {', '.join(changed)} changed; undo that, or "
                    "throw it away with --again"
                )
            return
        if resume:
            raise UsageError("there is no stopped training to resume; leave --resume away")
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(path, job)

    def reached(self) -> int:
        """Return the steps of the last checkpoint."""
        found = self._checkpoints()
        return int(found[-1].name.removeprefix("step-")) if found else 0

    def save(self, progress: Progress, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        """Write a checkpoint, and remove the earlier ones."""
        target = self.folder / f"step-{progress.step:09d}"
        draft = self.folder / f".{target.name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        save_file(trained(model), draft / _WEIGHTS)
        for number, optimizer in enumerate(optimizers):
            save_file(_state_tensors(optimizer), draft / f"optimizer-{number}.safetensors")
        _write(draft / _STATE, asdict(progress))
        for file in draft.iterdir():
            _sync(file)
        earlier = self._checkpoints()
        draft.replace(target)
        _sync(self.folder)
        for folder in earlier:
            if folder != target:
                shutil.rmtree(folder)

    def restore(self, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> Progress:
        """Go on from the last checkpoint; from the beginning where there is none.

        Raises:
            ArtifactError: a file of it is damaged.
        """
        found = self._checkpoints()
        if not found:
            return Progress()
        folder = found[-1]
        _load_weights(model, _tensors(folder / _WEIGHTS), folder / _WEIGHTS)
        for number, optimizer in enumerate(optimizers):
            states: dict[int, dict[str, Any]] = {}
            for name, value in _tensors(folder / f"optimizer-{number}.safetensors").items():
                place, _, key = name.partition(".")
                states.setdefault(int(place), {})[key] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        return Progress(**_read(folder / _STATE))

    def save_best(self, model: nn.Module) -> None:
        """Keep the weights as the best ones so far."""
        draft = self.folder / f".{_BEST}"
        save_file(trained(model), draft)
        _sync(draft)
        draft.replace(self.folder / _BEST)

    def restore_best(self, model: nn.Module) -> None:
        """Give the model the best weights.

        Raises:
            ArtifactError: the file is damaged.
        """
        _load_weights(model, _tensors(self.folder / _BEST), self.folder / _BEST)

    def remove(self) -> None:
        """Remove the folder; a model has come out."""
        shutil.rmtree(self.folder)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock, and say at once when another process trains into the same folder."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"another process is training into this folder ({path})") from error
    try:
        yield
    finally:
        lock.release()
        path.unlink(missing_ok=True)


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters that are trained, by name; one that several layers share comes once."""
    return {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}


def _load_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if weights.keys() != tensors.keys():
        raise ArtifactError(path, "holds the weights of another model; throw the training away with --again")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[name])


def _state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    tensors = {}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if value is None:
                continue
            if not isinstance(value, torch.Tensor):
                what = (
                    f"the optimizer {type(optimizer).__name__} keeps {name!r}, which is no tensor and cannot be written"
                )
                raise PluginError(type(optimizer).__module__.partition(".")[0], what)
            tensors[f"{number}.{name}"] = value.detach().contiguous()
    return tensors


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(path, f"is damaged ({error}); throw the training away with --again") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(path, f"is damaged ({error}); throw the training away with --again") from error
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    _sync(draft)
    draft.replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
