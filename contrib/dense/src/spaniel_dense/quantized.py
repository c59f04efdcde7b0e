"""Vectors of bytes or bits, scanned whole, and the best rescored from the vectors themselves.

Source: bits: Yamada, Asai and Hajishirzi, Efficient Passage Retrieval with Hashing for Open-domain Question Answering,
ACL 2021 (candidates by the Hamming distance of signs, then the vectors); bytes: one scale a dimension, as in the scalar
quantisers of Jégou, Douze and Schmid, 2011.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel.contents import open_array, require_finite, require_range

from spaniel_dense.config import QuantizedConfig
from spaniel_dense.engine import EngineIndexer, unit_blocks
from spaniel_dense.kept import Kept
from spaniel_dense.scanning import scan_bits, scan_bytes
from spaniel_dense.threads import in_threads

if TYPE_CHECKING:
    from spaniel import Context

GROUP = 64
"""Queries that one thread scans a block of codes for before it goes on to the next block."""
RESCORE = {8: 4, 1: 32}
"""Bits of a number → candidates per document wanted, where nobody says."""
PER_BYTES = 0.12
"""What scanning a vector's bytes costs, in comparisons of a graph; see :func:`spaniel_dense.engine.price`."""
_LARGEST = 1e19
"""No number of a vector is above it, see :func:`spaniel_dense.checks.measure`."""
_ALL = np.empty(0, bool)


class QuantizedIndexer(EngineIndexer):
    """Keeps a byte or a bit for each number, beside the vectors."""

    name = "quantized"
    recall = 0.75

    def __init__(self, config: QuantizedConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def engine(self, dimensions: int) -> Bytes | Bits:
        """Return codes of no vectors yet."""
        rescore = self.config.rescore or RESCORE[self.config.bits]
        return Bytes(rescore, dimensions) if self.config.bits == 8 else Bits(rescore, dimensions)


class Bytes:
    """Numbers from -127 to 127, with one scale a dimension; queries keep two bytes a number.

    A product of 127 and the largest number of a query, added up over the dimensions, stays below 2**31.
    """

    grows = False

    def __init__(self, rescore: int, dimensions: int) -> None:
        self.rescore = rescore
        self.codes = np.empty((0, dimensions), np.int8)
        self.scale = np.ones(dimensions, np.float32)
        self._most = min(2**15 - 1, (2**31 - 1) // (127 * max(dimensions, 1)))

    def fill(self, kept: Kept, done: int, advance: Callable[[int], None]) -> None:
        """Take the scales from the largest numbers, and code all vectors."""
        largest = np.zeros(kept.dimensions, np.float32)
        for values in unit_blocks(kept, kept.dimensions):
            np.maximum(largest, np.abs(values).max(axis=0, initial=0), out=largest)
        self.scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(127)
        self.codes = np.empty((len(kept.rows), kept.dimensions), np.int8)
        at = 0
        for values in unit_blocks(kept, kept.dimensions):
            self.codes[at : at + len(values)] = self._code(values)
            at += len(values)
            advance(len(values))

    def append(self, values: NDArray[np.float32]) -> None:
        """Code more vectors with the same scales; numbers beyond them are cut off."""
        self.codes = np.concatenate([self.codes, self._code(values)])

    def _code(self, values: NDArray[np.float32]) -> NDArray[np.int8]:
        codes: NDArray[np.int8] = np.clip(np.rint(values / self.scale), -127, 127).astype(np.int8)
        return codes

    def candidates(
        self, asked: NDArray[np.float32], count: int, eligible: NDArray[np.bool_] | None, effort: int
    ) -> NDArray[np.int64]:
        """Return the positions with the largest products of codes."""
        weighted = asked * self.scale
        largest = np.abs(weighted).max(axis=1, keepdims=True)
        queries = np.rint(weighted * (self._most / np.where(largest > 0, largest, 1))).astype(np.int16)
        counted = _ALL if eligible is None else eligible
        wanted = min(count * self.rescore * effort, len(self.codes))
        return _in_threads(
            lambda part, found: scan_bytes(queries[part], self.codes, counted, found), len(asked), wanted
        )

    def evaluations(self, count: int) -> float:
        """Return what scanning all bytes costs."""
        return PER_BYTES * len(self.codes)

    def write(self, folder: Path) -> None:
        """Write codes and scales."""
        np.save(folder / "codes.npy", self.codes, allow_pickle=False)
        np.save(folder / "scale.npy", self.scale, allow_pickle=False)

    def read(self, folder: Path) -> None:
        """Map the codes."""
        dimensions = self.codes.shape[1]
        self.codes = open_array(folder / "codes.npy", np.int8, [None, dimensions])
        self.scale = np.array(open_array(folder / "scale.npy", np.float32, [dimensions]))

    def check(self, folder: Path, kept: Kept) -> None:
        """Look through codes and scales: sums of products stay below 2**31 where no code is -128."""
        self.read(folder)
        codes = open_array(folder / "codes.npy", np.int8, [len(kept.rows), kept.dimensions])
        require_range(codes, -127, 127, folder / "codes.npy")
        require_range(self.scale, float(np.finfo(np.float32).tiny) / 127, _LARGEST, folder / "scale.npy")


class Bits:
    """The signs of numbers, the mean of each dimension taken off first, in words of 64 bits."""

    grows = False

    def __init__(self, rescore: int, dimensions: int) -> None:
        self.rescore = rescore
        self.mean = np.zeros(dimensions, np.float32)
        self.words = np.empty((0, -(-dimensions // 64)), np.uint64)

    def fill(self, kept: Kept, done: int, advance: Callable[[int], None]) -> None:
        """Take the means, and the signs of all vectors."""
        total = np.zeros(kept.dimensions, np.float64)
        for values in unit_blocks(kept, kept.dimensions):
            total += values.sum(axis=0, dtype=np.float64)
        self.mean = (total / max(len(kept.rows), 1)).astype(np.float32)
        self.words = np.empty((len(kept.rows), self.words.shape[1]), np.uint64)
        at = 0
        for values in unit_blocks(kept, kept.dimensions):
            self.words[at : at + len(values)] = self._signs(values)
            at += len(values)
            advance(len(values))

    def append(self, values: NDArray[np.float32]) -> None:
        """Take the signs of more vectors."""
        self.words = np.concatenate([self.words, self._signs(values)])

    def _signs(self, values: NDArray[np.float32]) -> NDArray[np.uint64]:
        packed = np.packbits(values > self.mean, axis=1)
        padded = np.zeros((len(values), 8 * self.words.shape[1]), np.uint8)
        padded[:, : packed.shape[1]] = packed
        return padded.view(np.uint64)

    def candidates(
        self, asked: NDArray[np.float32], count: int, eligible: NDArray[np.bool_] | None, effort: int
    ) -> NDArray[np.int64]:
        """Return the positions with the fewest other signs."""
        queries, counted = self._signs(asked), _ALL if eligible is None else eligible
        wanted = min(count * self.rescore * effort, len(self.words))
        return _in_threads(lambda part, found: scan_bits(queries[part], self.words, counted, found), len(asked), wanted)

    def evaluations(self, count: int) -> float:
        """Return 0: a scan of bits is cheaper than comparing the vectors, however many queries there are."""
        return 0.0

    def write(self, folder: Path) -> None:
        """Write signs and means."""
        np.save(folder / "words.npy", self.words, allow_pickle=False)
        np.save(folder / "mean.npy", self.mean, allow_pickle=False)

    def read(self, folder: Path) -> None:
        """Map the signs."""
        self.words = open_array(folder / "words.npy", np.uint64, [None, self.words.shape[1]])
        self.mean = np.array(open_array(folder / "mean.npy", np.float32, [len(self.mean)]))

    def check(self, folder: Path, kept: Kept) -> None:
        """Look through signs and means."""
        self.read(folder)
        open_array(folder / "words.npy", np.uint64, [len(kept.rows), self.words.shape[1]])
        require_finite(self.mean, folder / "mean.npy")


def _in_threads(scan: Callable[[slice, NDArray[np.int64]], None], queries: int, wanted: int) -> NDArray[np.int64]:
    found = np.full((queries, wanted), -1, np.int64)
    in_threads(lambda part: scan(part, found[part]), queries, GROUP)
    return found
