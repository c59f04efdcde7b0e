"""Postings whose digests are right and whose numbers are not: each is refused with its file, before anything is searched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from spaniel import ArtifactError
from spaniel.data import SparseVectors
from spaniel.store import Draft
from spaniel_impacts.building import write_vectors
from spaniel_impacts.checking import check_postings

DOCUMENTS = 300
Arrays = dict[str, Any]


def vectors() -> SparseVectors:
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.choice(40, 6, replace=False)) for _ in range(DOCUMENTS)]
    values = rng.random(6 * DOCUMENTS, np.float32) + np.float32(0.1)
    return SparseVectors(np.arange(DOCUMENTS + 1) * 6, np.concatenate(rows).astype(np.int32), values, 40)


def check(folder: Path, documents: int = DOCUMENTS) -> None:
    files = {path.name: None for path in folder.iterdir()}
    artifact: Any = SimpleNamespace(path=folder, files=files, file=lambda name: folder / name)
    held = {name.removesuffix(".npy") for name in files}
    check_postings(artifact, documents, held | {"indptr", "indices", "data", "bounds"})


def put(name: str, at: Any, value: Any) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name][at] = value

    return change


def replace(name: str, make: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = make(arrays[name])

    return change


HOSTILE: dict[str, tuple[str, Callable[[Arrays], None]]] = {
    "row 2**31 - 1": ("indices", put("indices", -1, 2**31 - 1)),
    "row -1": ("indices", put("indices", 0, -1)),
    "row a million": ("indices", put("indices", 7, 10**6)),
    "rows all the same": ("indices", put("indices", slice(None), 5)),
    "rows descending": ("indices", replace("indices", lambda a: a[::-1].copy())),
    "rows too few": ("indices", replace("indices", lambda a: a[:-3])),
    "rows of 8 bytes": ("indices", replace("indices", lambda a: a.astype(np.int64))),
    "rows of 2 bytes": ("indices", replace("indices", lambda a: a.astype(np.int16))),
    "rows the other way round": ("indices", replace("indices", lambda a: a.astype(">i4"))),
    "rows in a matrix": ("indices", replace("indices", lambda a: a.reshape(2, -1))),
    "bounds reversed": ("indptr", replace("indptr", lambda a: a[::-1].copy())),
    "bounds of 2**40": ("indptr", put("indptr", 3, 2**40)),
    "bounds of -2**40": ("indptr", put("indptr", 3, -(2**40))),
    "end of -2**40": ("indptr", put("indptr", -1, -(2**40))),
    "bounds begin at 2": ("indptr", put("indptr", 0, 2)),
    "bounds none": ("indptr", replace("indptr", lambda a: a[:0])),
    "bounds of 4 bytes": ("indptr", replace("indptr", lambda a: a.astype(np.int32))),
    "impact NaN": ("data", put("data", 4, np.nan)),
    "impact infinite": ("data", put("data", 4, np.inf)),
    "impact -1": ("data", put("data", 4, -1)),
    "impact -0": ("data", put("data", 4, -0.0)),
    "impacts too few": ("data", replace("data", lambda a: a[:-1])),
    "impacts of 8 bytes": ("data", replace("data", lambda a: a.astype(np.float64))),
    "greatest impacts too low": ("bounds", put("bounds", 0, 0.01)),
    "greatest impacts NaN": ("bounds", put("bounds", 0, np.nan)),
    "greatest impacts too few": ("bounds", replace("bounds", lambda a: a[:-1])),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_numbers_are_refused(tmp_path: Path, what: str) -> None:
    write_vectors(vectors(), Draft(tmp_path))
    check(tmp_path)
    name, change = HOSTILE[what]
    arrays = {path.stem: np.load(path) for path in tmp_path.glob("*.npy")}
    change(arrays)
    for stem, array in arrays.items():
        np.save(tmp_path / f"{stem}.npy", array)
    # Where lengths do not fit each other, either may be to blame.
    with pytest.raises(ArtifactError, match=rf"({name}|indptr|data)\.npy"):
        check(tmp_path)


@pytest.mark.parametrize("steps", [np.nan, np.inf, 0, -1])
def test_hostile_steps_are_refused(tmp_path: Path, steps: float) -> None:
    write_vectors(vectors(), Draft(tmp_path), "uint8")
    check(tmp_path)
    array = np.load(tmp_path / "steps.npy")
    array[2] = steps
    np.save(tmp_path / "steps.npy", array)
    with pytest.raises(ArtifactError, match=r"steps\.npy"):
        check(tmp_path)


def test_fewer_documents_than_there_are_rows(tmp_path: Path) -> None:
    write_vectors(vectors(), Draft(tmp_path))
    with pytest.raises(ArtifactError, match=r"indices\.npy.*below 3"):
        check(tmp_path, documents=3)


def test_arrays_that_no_such_index_has(tmp_path: Path) -> None:
    write_vectors(vectors(), Draft(tmp_path), "uint8")
    (tmp_path / "bounds.npy").unlink()
    with pytest.raises(ArtifactError, match="bounds"):
        check(tmp_path)
