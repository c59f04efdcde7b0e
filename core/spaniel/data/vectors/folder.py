"""Vectors in folders: one .npy file an array, and a description."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from spaniel.data.vectors.binary import BinaryVectors
from spaniel.data.vectors.common import check, cumulated
from spaniel.data.vectors.dense import DenseVectors
from spaniel.data.vectors.multi import MultiVectors
from spaniel.data.vectors.sparse import SparseVectors
from spaniel.errors import ArtifactError

Vectors: TypeAlias = DenseVectors | SparseVectors | MultiVectors | BinaryVectors
V = TypeVar("V", DenseVectors, SparseVectors, MultiVectors, BinaryVectors)
DESCRIPTION = "vectors.json"
OFFSETS = ("indptr", "offsets")
"""Names of the arrays that hold where each row begins."""
_FORMS: Mapping[str, Any] = {v.form: v for v in (DenseVectors, SparseVectors, MultiVectors, BinaryVectors)}


def concatenate_vectors(parts: Sequence[V]) -> V:
    """Return the vectors of several, one after the other.

    Raises:
        UsageError: there are none, or they differ in form, type, dimensions or metric.
    """
    kinds = {_kind(part) for part in parts}
    check(len(kinds) == 1, f"vectors of one form, type and width can be joined, not {len(parts)} of {len(kinds)} kinds")
    joined: dict[str, NDArray[Any]] = {}
    for name in parts[0].arrays():
        arrays = [part.arrays()[name] for part in parts]
        lengths = np.concatenate([np.diff(array) for array in arrays]) if name in OFFSETS else None
        joined[name] = np.concatenate(arrays) if lengths is None else cumulated(lengths)
    made: V = _FORMS[parts[0].form](**joined, **parts[0].facts())
    return made


def _kind(vectors: Vectors) -> tuple[object, ...]:
    return (vectors.form, *vectors.facts().values(), *((a.dtype, a.shape[1:]) for a in vectors.arrays().values()))


def save_vectors(vectors: Vectors, folder: Path) -> None:
    """Write vectors to a folder; the description is written last, so that what it describes is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in vectors.arrays().items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    write_description(folder, vectors.form, len(vectors), vectors.facts())


def write_description(folder: Path, form: str, rows: int, facts: Mapping[str, Any]) -> None:
    """Write the description of a folder of vectors."""
    write_json(folder / DESCRIPTION, {"form": form, "rows": rows, **facts})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def open_vectors(folder: Path) -> Vectors:
    """Open vectors, memory-mapped.

    Raises:
        ArtifactError: the folder holds none, or they are damaged.
    """
    where = folder / DESCRIPTION
    try:
        content = json.loads(where.read_bytes())
        make, rows = _FORMS[content.pop("form")], content.pop("rows")
        arrays = {}
        for name in (field.name for field in fields(make) if field.name not in content):
            where = folder / f"{name}.npy"
            arrays[name] = np.lib.format.open_memmap(where, mode="r")
        where = folder / DESCRIPTION
        vectors: Vectors = make(**arrays, **content)
        if len(vectors) != rows:
            raise ValueError(f"it says {rows} rows, the arrays hold {len(vectors)}")
    except Exception as error:  # damaged bytes raise whatever they reach in json and numpy
        raise ArtifactError(where, f"is damaged ({error}); remove the artifact and build it again") from error
    return vectors
