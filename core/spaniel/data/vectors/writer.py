"""Writing vectors as they are made, so that what was written outlives a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spaniel.data.vectors.folder import DESCRIPTION, OFFSETS, Vectors, write_description, write_json
from spaniel.errors import UsageError

_PROGRESS = "progress.json"


class _Growing:
    """A .npy file that grows along its first axis; its header, of fixed length, is written last."""

    def __init__(self, path: Path, dtype: np.dtype[Any], tail: tuple[int, ...], rows: int) -> None:
        self.dtype, self.tail, self.rows = dtype, tail, rows
        self._file: BinaryIO = path.open("r+b" if rows else "w+b")
        self._write_header()
        end = self._file.tell() + rows * dtype.itemsize * int(np.prod(tail, dtype=np.int64))
        if self._file.seek(0, os.SEEK_END) < end:
            self._file.close()
            raise ValueError(f"{path} is shorter than it was")
        self._file.truncate(end)
        self._file.seek(end)

    def _write_header(self) -> None:
        self._file.seek(0)
        described = np.lib.format.header_data_from_array_1_0(np.empty((0, *self.tail), self.dtype))
        np.lib.format.write_array_header_1_0(self._file, {**described, "shape": (self.rows, *self.tail)})

    def append(self, array: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(array).tobytes())
        self.rows += len(array)

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        self._write_header()
        self.sync()
        self.close()

    def close(self) -> None:
        self._file.close()


class VectorWriter:
    """Writes vectors to a folder in row order.

    A writer that is opened on the folder of one that was killed goes on at ``next_row``, and what comes out is the
    same, byte for byte. Leaving the context without an error makes the folder whole, as :meth:`close` does.

    Args:
        folder: where the vectors go.
        rows: how many there will be.

    Attributes:
        next_row: the row of the next vector; only what is on disk counts.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder
        self.rows = rows
        self.next_row = 0
        self._form = ""
        self._facts: dict[str, Any] = {}
        self._arrays: dict[str, _Growing] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._whole = (folder / DESCRIPTION).is_file()
        if self._whole:
            self.next_row = rows
        else:
            self._resume()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever appended, so that not even the form is known."""
        return not (self._form or self._whole)

    def append(self, vectors: Vectors) -> None:
        """Write the vectors of the next rows, and wait until they are on disk.

        Raises:
            UsageError: they are of another form or shape than those before, or too many.
        """
        if self.next_row + len(vectors) > self.rows:
            raise UsageError(f"{self.next_row + len(vectors)} vectors for {self.rows} rows")
        arrays = vectors.arrays()
        if not self._form:
            self._begin(vectors)
        kinds = [(v.dtype, v.shape[1:]) for v in arrays.values()]
        if (vectors.form, vectors.facts(), kinds) != (self._form, self._facts, self._kinds()):
            what = f"{vectors.form} vectors {vectors.facts()} {kinds}"
            raise UsageError(f"{what} after {self._form} vectors {self._facts} {self._kinds()}")
        entries = self._arrays["values"].rows
        for name, array in arrays.items():
            self._arrays[name].append(array[1:] + entries if name in OFFSETS else array)
            self._arrays[name].sync()
        self.next_row += len(vectors)
        self._record()

    def _begin(self, vectors: Vectors) -> None:
        self._form, self._facts = vectors.form, vectors.facts()
        for name, array in vectors.arrays().items():
            self._arrays[name] = _Growing(self.folder / f"{name}.npy", array.dtype, array.shape[1:], 0)
            if name in OFFSETS:
                self._arrays[name].append(np.zeros(1, np.int64))

    def _kinds(self) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
        return [(growing.dtype, growing.tail) for growing in self._arrays.values()]

    def _record(self) -> None:
        arrays = {n: {"dtype": g.dtype.str, "tail": g.tail, "rows": g.rows} for n, g in self._arrays.items()}
        state = {"form": self._form, "facts": self._facts, "next_row": self.next_row, "arrays": list(arrays.items())}
        write_json(self.folder / _PROGRESS, state)

    def _resume(self) -> None:
        arrays: dict[str, _Growing] = {}
        try:
            state = json.loads((self.folder / _PROGRESS).read_bytes())
            for name, a in state["arrays"]:
                path = self.folder / f"{name}.npy"
                arrays[name] = _Growing(path, np.dtype(a["dtype"]), tuple(a["tail"]), a["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            for growing in arrays.values():
                growing.close()
            return  # nothing whole was left, so it begins anew
        self._arrays, self._form, self._facts = arrays, state["form"], state["facts"]
        self.next_row = state["next_row"]

    def close(self) -> None:
        """Make the folder whole.

        Raises:
            UsageError: there are fewer vectors than rows, or not even empty ones were appended.
        """
        if self.next_row != self.rows or self.is_empty:
            self._release()
            raise UsageError(f"{self.next_row} vectors were written for {self.rows} rows")
        if not self._whole:
            for growing in self._arrays.values():
                growing.finish()
            write_description(self.folder, self._form, self.rows, self._facts)
            self._whole = True
        (self.folder / _PROGRESS).unlink(missing_ok=True)

    def _release(self) -> None:
        for growing in self._arrays.values():
            growing.close()

    def __enter__(self) -> VectorWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._release()
