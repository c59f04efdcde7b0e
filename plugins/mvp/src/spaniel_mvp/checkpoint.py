"""Weights under the names that the published code gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from spaniel import UsageError
from spaniel_neural.files import weights

T = TypeVar("T")
_WRAPPED = "encoder.encoder."
_BLOCK = re.compile(r"(\.block\.\d+)\.module\.")


def renamed(name: str) -> str:
    """Return the name of a weight in transformers' T5.

    The published code wraps the encoder, and each of its blocks: ``encoder.encoder.block.0.module.layer…``.
    """
    inner = f"encoder.{name.removeprefix(_WRAPPED)}" if name.startswith(_WRAPPED) else name
    return _BLOCK.sub(r"\1.", inner)


def rename(tensors: Mapping[str, T]) -> dict[str, T]:
    """Return weights under the names of transformers' T5.

    Raises:
        UsageError: two of them would have one name.
    """
    made = {renamed(name): tensor for name, tensor in tensors.items()}
    if len(made) < len(tensors):
        raise UsageError("the weights are there under the names of the published code and under transformers' at once")
    return made


def is_wrapped(folder: Path) -> bool:
    """Return whether a folder's weights have the names of the published code; reads no weight."""
    return any(renamed(name) != name for path in _files(folder) for name in _names(path))


def read_wrapped(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a folder under the names of transformers' T5."""
    found: dict[str, torch.Tensor] = {}
    for path in _files(folder):
        found.update(load_file(path))
    return rename(found)


def _files(folder: Path) -> list[Path]:
    return [path for path in weights(folder) if path.suffix == ".safetensors"]


def _names(path: Path) -> Iterable[str]:
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} is damaged ({error})") from error
