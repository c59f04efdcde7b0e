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

from spaniel.contents import open_array, read_json, require, require_distinct_lists, require_finite, require_range
from spaniel.data.vectors.binary import BinaryVectors
from spaniel.data.vectors.common import check, cumulated
from spaniel.data.vectors.dense import DenseVectors
from spaniel.data.vectors.multi import MultiVectors
from spaniel.data.vectors.sparse import SparseVectors
from spaniel.errors import ArtifactError, UsageError

Vectors: TypeAlias = DenseVectors | SparseVectors | MultiVectors | BinaryVectors
V = TypeVar("V", DenseVectors, SparseVectors, MultiVectors, BinaryVectors)
DESCRIPTION = "vectors.json"
OFFSETS = ("indptr", "offsets")
"""Names of the arrays that hold where each row begins."""
_DESCRIPTION_LIMIT = 2**16
_NUMBERS = (np.float32, np.float16, np.int8)
_ARRAYS: Mapping[str, Mapping[str, tuple[Any, int]]] = {
    "dense": {"values": (_NUMBERS, 2)},
    "sparse": {"indptr": (np.int64, 1), "indices": (np.int32, 1), "values": (np.float32, 1)},
    "multi-vector": {"offsets": (np.int64, 1), "values": (_NUMBERS, 2)},
    "binary": {"values": (np.uint8, 2)},
}
"""Form → array → types that it may have, and its number of dimensions."""
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
    content = read_json(where, _DESCRIPTION_LIMIT)
    try:
        form, rows = content.pop("form"), content.pop("rows")
        made, arrays = _FORMS[form], {}
        for name, (types, dimensions) in _ARRAYS[form].items():
            arrays[name] = open_array(folder / f"{name}.npy", types, [None] * dimensions)
        if set(content) != {field.name for field in fields(made)} - set(arrays):
            raise ValueError(f"it describes {', '.join(sorted(content))}")
        if any(type(size) is not int or not 0 <= size < 2**31 for name, size in content.items() if name != "metric"):
            raise ValueError(f"its sizes are {content}")
        vectors: Vectors = made(**arrays, **content)
        if type(rows) is not int or len(vectors) != rows:
            raise ValueError(f"it says {rows} rows, the arrays hold {len(vectors)}")
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise ArtifactError(where, f"is damaged ({error}); remove the artifact and build it again") from error
    return vectors


def check_folder(folder: Path) -> Vectors:
    """Open vectors whose numbers come from elsewhere, and look through all of them; see :mod:`spaniel.contents`.

    Raises:
        ArtifactError: one is not finite, a term is not below the width or comes twice in a row, or a bit is beyond the last.
    """
    vectors, where = open_vectors(folder), folder / "values.npy"
    require_finite(vectors.arrays()["values"], where)
    if isinstance(vectors, SparseVectors):
        require_range(vectors.indices, 0, vectors.width - 1, folder / "indices.npy")
        require_distinct_lists(vectors.indices, vectors.indptr, folder / "indices.npy")
    if isinstance(vectors, BinaryVectors) and vectors.bits % 8 and len(vectors):
        beyond = vectors.values[:, -1] & (0xFF >> (vectors.bits % 8))
        require(not beyond.any(), where, f"holds bits beyond the {vectors.bits} of a vector")
    return vectors
