"""Writing vectors as they are made, so that what was written outlives a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spaniel.data.vectors import OFFSETS, Vectors, write_description
from spaniel.errors import UsageError

_PROGRESS = "progress.json"


class _Growing:
    """A .npy file that grows along its first axis; its header, of fixed length, is written last."""

    def __init__(self, path: Path, dtype: np.dtype[Any], tail: tuple[int, ...], rows: int) -> None:
        self.dtype, self.tail, self.rows = dtype, tail, rows
        self._file: BinaryIO = path.open("r+b" if rows else "w+b")
        self._header()
        width = dtype.itemsize * int(np.prod(tail, dtype=np.int64))
        self._file.truncate(self._file.tell() + rows * width)
        self._file.seek(0, os.SEEK_END)

    def _header(self) -> None:
        self._file.seek(0)
        described = np.lib.format.header_data_from_array_1_0(np.empty((0, *self.tail), self.dtype))
        np.lib.format.write_array_header_1_0(self._file, {**described, "shape": (self.rows, *self.tail)})

    def append(self, array: NDArray[Any]) -> None:
        if array.dtype != self.dtype or array.shape[1:] != self.tail:
            raise UsageError(f"vectors of {array.dtype} {array.shape[1:]} after {self.dtype} {self.tail}")
        self._file.write(np.ascontiguousarray(array).tobytes())
        self.rows += len(array)

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        self._header()
        self.close()

    def close(self) -> None:
        self._file.flush()
        self._file.close()


class VectorWriter:
    """Writes vectors to a folder in row order.

    A writer that is opened on the folder of one that was killed goes on at ``next_row``, and what comes out is the same,
    byte for byte. Leaving the context without an error makes the folder whole.

    Args:
        folder: where the vectors go.
        rows: how many there will be.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder
        self.rows = rows
        self.next_row = 0
        self._form = ""
        self._facts: dict[str, Any] = {}
        self._arrays: dict[str, _Growing] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever appended, so that not even the form is known."""
        return not self._form

    def append(self, vectors: Vectors) -> None:
        """Write the vectors of the next rows, and wait until they are on disk.

        Raises:
            UsageError: they are of another form or shape than those before, or too many.
        """
        if self.next_row + len(vectors) > self.rows:
            raise UsageError(f"{self.next_row + len(vectors)} vectors for {self.rows} rows")
        arrays = vectors.arrays()
        if not self._form:
            self._form, self._facts = vectors.form, vectors.facts()
            for name, array in arrays.items():
                self._arrays[name] = _Growing(self.folder / f"{name}.npy", array.dtype, array.shape[1:], 0)
                if name in OFFSETS:
                    self._arrays[name].append(np.zeros(1, np.int64))
        if (vectors.form, vectors.facts()) != (self._form, self._facts):
            raise UsageError(f"{vectors.form} vectors {vectors.facts()} after {self._form} vectors {self._facts}")
        before = {name: growing.rows for name, growing in self._arrays.items()}
        for name, array in arrays.items():
            if name in OFFSETS:
                array = array[1:] - array[0] + before["values"]
            self._arrays[name].append(array)
            self._arrays[name].sync()
        self.next_row += len(vectors)
        self._record()

    def _record(self) -> None:
        state = {
            "form": self._form,
            "facts": self._facts,
            "next_row": self.next_row,
            "arrays": {n: {"dtype": g.dtype.str, "tail": g.tail, "rows": g.rows} for n, g in self._arrays.items()},
        }
        draft = self.folder / f"{_PROGRESS}.part"
        draft.write_text(json.dumps(state))
        draft.replace(self.folder / _PROGRESS)

    def _resume(self) -> None:
        try:
            state = json.loads((self.folder / _PROGRESS).read_text())
            arrays = {
                name: _Growing(self.folder / f"{name}.npy", np.dtype(a["dtype"]), tuple(a["tail"]), a["rows"])
                for name, a in state["arrays"].items()
            }
        except (OSError, ValueError, KeyError, TypeError):
            return  # nothing whole was left, so it begins anew
        self._arrays, self._form, self._facts = arrays, state["form"], state["facts"]
        self.next_row = state["next_row"]

    def __enter__(self) -> VectorWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for growing in self._arrays.values():
                growing.close()
            return
        if self.next_row != self.rows or self.is_empty:
            raise UsageError(f"{self.next_row} vectors were written for {self.rows} rows")
        for growing in self._arrays.values():
            growing.finish()
        write_description(self.folder, self._form, self.rows, self._facts)
        (self.folder / _PROGRESS).unlink()
