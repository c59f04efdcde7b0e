"""Checking what the files of an artifact hold, before anything computes with it.

Digests say that files are those of the manifest, not that their numbers make sense: whoever sends an artifact seals what he
likes. So every array is opened by what is expected of it, and looked through once: what passes cannot make a kernel read or
write out of bounds. Each function raises :class:`spaniel.ArtifactError`, which names the file.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spaniel import __version__
from spaniel.errors import ArtifactError
from spaniel.store.artifact import way_out

if TYPE_CHECKING:
    from spaniel.store import Artifact, Store

BLOCK = 2**22
"""Numbers that are looked through at once."""
JSON_LIMIT = 2**30


def require(correct: bool | np.bool_, where: Path, what: str) -> None:
    """Raise an :class:`ArtifactError` that names a file and says what is wrong with it, unless it is correct."""
    if not correct:
        raise ArtifactError(where, f"{what}; remove the artifact and build it again")


def open_array(where: Path, dtype: DTypeLike | Sequence[DTypeLike], shape: Sequence[int | None]) -> NDArray[Any]:
    """Map a ``.npy`` file that holds just an array of a given type and shape, in the order of C.

    Args:
        where: the file.
        dtype: the type, or those that are allowed.
        shape: the shape; ``None`` for any length.
    """
    wanted = [np.dtype(one) for one in (dtype if isinstance(dtype, list | tuple) else [dtype])]  # type: ignore[arg-type]
    try:
        with where.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            found_shape, is_fortran, found = read(file)
            begin = file.tell()
            size = file.seek(0, 2)
    except Exception as error:  # damaged bytes raise whatever they reach in numpy's reading of headers
        raise ArtifactError(where, f"is damaged ({error}); remove the artifact and build it again") from error
    require(found in wanted and found.isnative, where, f"holds {found}, not {' or '.join(map(str, wanted))}")
    fits = len(found_shape) == len(shape) and all(
        length >= 0 and want in (None, length) for length, want in zip(found_shape, shape, strict=True)
    )
    described = ", ".join("any" if length is None else str(length) for length in shape)
    require(fits, where, f"has shape {found_shape}, not ({described})")
    require(not is_fortran or len(shape) < 2, where, "is in the order of Fortran")
    require(size == begin + found.itemsize * math.prod(found_shape), where, "has another size than its header says")
    return np.memmap(where, found, "r", begin, tuple(found_shape))


def in_blocks(values: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the first line and the lines of blocks of an array."""
    step = max(1, BLOCK // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        yield start, values[start : start + step]


def require_finite(values: NDArray[Any], where: Path) -> None:
    """Check that every number is finite."""
    if values.dtype.kind == "f":
        for start, block in in_blocks(values):
            # A sum of finite numbers may overflow; what is not finite is certain to show in it.
            with np.errstate(over="ignore", invalid="ignore"):
                suspicious = not np.isfinite(block.sum(dtype=np.float64))
            fine = not suspicious or bool(np.isfinite(block).all())
            require(fine, where, f"holds a number that is not finite, in line {start} or after")


def require_range(values: NDArray[Any], least: float, most: float, where: Path) -> None:
    """Check that every number is from ``least`` to ``most``."""
    for start, block in in_blocks(values):
        if block.size:
            low, high = block.min(), block.max()
            fits = bool(low >= least and high <= most)
            require(fits, where, f"holds {low} to {high} in line {start} or after, where {least} to {most} are allowed")


def require_offsets(values: NDArray[Any], last: int, where: Path) -> None:
    """Check that offsets rise, not strictly, from 0 to ``last``; they are whole numbers, at least one."""
    fits = values.ndim == 1 and values.dtype.kind in "iu" and len(values) > 0
    require(fits and values[0] == 0 and values[-1] == last, where, f"holds no offsets from 0 to {last}")
    for start, block in in_blocks(values):
        before = values[max(start - 1, 0) : start + len(block) - 1]
        require(bool((block[len(block) - len(before) :] >= before).all()), where, "holds offsets that fall")


def require_distinct(values: NDArray[Any], where: Path) -> None:
    """Check that no number comes twice."""
    if len(values) and not bool((values[1:] > values[:-1]).all()):
        ordered = np.sort(values)
        require(bool((ordered[1:] > ordered[:-1]).all()), where, "holds a number twice")


def require_ascending_lists(values: NDArray[Any], offsets: NDArray[Any], where: Path) -> None:
    """Check that the numbers of each list, ``values[offsets[i]:offsets[i + 1]]``, ascend strictly; see :func:`require_offsets`."""
    for start, block in in_blocks(values):
        before = values[max(start - 1, 0) : start + len(block) - 1]
        falls = np.flatnonzero(block[len(block) - len(before) :] <= before) + max(start, 1)
        # Where the numbers fall a list has to begin.
        begins = offsets[np.minimum(np.searchsorted(offsets, falls), len(offsets) - 1)] == falls
        require(bool(begins.all()), where, "holds a list whose numbers do not ascend")


def require_distinct_lists(values: NDArray[Any], offsets: NDArray[Any], where: Path) -> None:
    """Check that no number comes twice in a list; see :func:`require_ascending_lists`. The numbers are below 2**31."""
    try:
        require_ascending_lists(values, offsets, where)
    except ArtifactError:
        first = 0
        while first < len(offsets) - 1:
            last = int(np.searchsorted(offsets, offsets[first] + BLOCK, side="right")) - 1
            last = max(last, first + 1)
            owners = np.repeat(np.arange(last - first, dtype=np.int64), np.diff(offsets[first : last + 1]))
            keys = np.sort((owners << 31) | values[offsets[first] : offsets[last]])
            require(bool((keys[1:] > keys[:-1]).all()), where, "holds a number twice in a list")
            first = last


def read_json(where: Path, limit: int = JSON_LIMIT) -> Any:
    """Read a JSON file of at most ``limit`` bytes."""
    try:
        require(where.stat().st_size <= limit, where, f"is larger than {limit} bytes")
        return json.loads(where.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(where, f"is damaged ({error}); remove the artifact and build it again") from error


def noted(artifact: Artifact, name: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """Return a whole number that the builder noted in the manifest."""
    value = artifact.info.get(name)
    fits = type(value) is int and least <= value <= most
    require(fits, artifact.path / "manifest.json", f"notes {name} as {str(value)[:40]}, not from {least} to {most}")
    return cast(int, value)


# Corpora and vectors


def check_vectors(artifact: Artifact) -> None:
    """Check every representation of an artifact of vectors; vectors of one artifact have as many rows."""
    from spaniel.data.vectors.folder import DESCRIPTION, check_folder

    rows = None
    for name in sorted(name for name in artifact.files if name.endswith(f"/{DESCRIPTION}")):
        folder = artifact.path / name.removesuffix(f"/{DESCRIPTION}")
        held = len(check_folder(folder))
        require(rows in (None, held), folder, f"holds {held} vectors, and others {rows}")
        rows = held
        if "documents" in artifact.info:
            noted(artifact, "documents", held, held)


def check_corpus(artifact: Artifact) -> None:
    """Check a document store: plain tables alone, the rows 0, 1, 2 … with ids that descend, as many as noted."""
    from spaniel.data.docstore import FILE, SCHEMA

    where = artifact.file(FILE)
    size, count = noted(artifact, "documents"), 0
    last: bytes | None = None
    require(isinstance(artifact.info.get("digest"), str), artifact.path / "manifest.json", "notes no digest")
    try:
        with closing(sqlite3.connect(f"{where.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as store:
            store.execute("PRAGMA trusted_schema = OFF")
            store.execute("PRAGMA cell_size_check = ON")
            # A view could be endless, and a trigger or a generated column could compute.
            schema = dict(store.execute("SELECT name, sql FROM sqlite_schema LIMIT 10"))
            require(schema == SCHEMA, where, f"holds other tables: {', '.join(sorted(map(str, schema)))[:200]}")
            types = "text text text text"
            sql = "SELECT row, id, metadata, typeof(id)||' '||typeof(title)||' '||typeof(text)||' '||typeof(metadata)"
            found = store.execute(f"{sql} FROM documents ORDER BY row")
            for count, (row, name, metadata, kinds) in enumerate(found, 1):
                # Rows are counted, so that a tree of pages that leads back to itself ends here.
                fits = row + 1 == count <= size and kinds == types
                require(fits, where, f"has row {row} of {kinds} in place {count} of {size}")
                key = name.encode("utf-8", "surrogatepass")
                require(last is None or key < last, where, f"has ids out of order at row {row}")
                require(isinstance(json.loads(metadata), dict), where, f"has metadata that are no mapping at row {row}")
                last = key
            by_id = store.execute("SELECT row FROM documents INDEXED BY by_id ORDER BY id DESC")
            for number, (row,) in enumerate(by_id):
                require(row == number, where, "has an index of ids that does not fit its rows")
    except (sqlite3.Error, ValueError, RecursionError, OverflowError) as error:
        raise ArtifactError(where, f"is damaged ({error}); {way_out(artifact.path)}") from error
    require(count == size, where, f"holds {count} documents, and {size} are noted")


CHECKS: Mapping[str, Callable[[Artifact], None]] = {"corpus": check_corpus, "vectors": check_vectors}
"""Type of artifact → its check; that of an index is :meth:`spaniel.protocols.Indexer.check`."""
CHECKER = f"spaniel {__version__}"
"""Who looks through corpora and vectors, see :meth:`spaniel.store.Store.checked`."""


def check_contents(store: Store, artifact: Artifact) -> None:
    """Check a corpus or vectors, where this store has not built or checked them; see :meth:`spaniel.store.Store.checked`.

    Raises:
        ArtifactError: a file holds what it must not.
    """
    check = CHECKS.get(artifact.recipe.type)
    if check is not None:
        store.checked(artifact, CHECKER, check)


__all__ = [
    "check_contents",
    "check_corpus",
    "check_vectors",
    "in_blocks",
    "noted",
    "open_array",
    "read_json",
    "require",
    "require_ascending_lists",
    "require_distinct",
    "require_distinct_lists",
    "require_finite",
    "require_offsets",
    "require_range",
]
