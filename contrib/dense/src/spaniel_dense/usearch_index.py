"""The graph of usearch: small files of half precision or bytes, searched where they lie on disk.

Source: Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
World graphs, 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError

from spaniel_dense.config import UsearchConfig
from spaniel_dense.engine import PER_CANDIDATE, EngineIndexer, drop_ineligible, over_fetch, refuse, unit_blocks
from spaniel_dense.kept import Kept
from spaniel_dense.threads import threads

if TYPE_CHECKING:
    from spaniel import Context

_FILE = "index.usearch"


class UsearchIndexer(EngineIndexer):
    """Builds a graph in one thread, so that it comes out the same."""

    name, module, extra = "usearch", "usearch", "usearch"

    def __init__(self, config: UsearchConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.check_engine()

    def fingerprint(self) -> Mapping[str, Any]:
        """The version of usearch: another one may make another graph, or write another form."""
        return {"usearch": version("usearch")}

    def engine(self, dimensions: int) -> Usearch:
        """Return an empty graph."""
        return Usearch(self.config, dimensions)


class Usearch:
    """A graph of usearch over positions; a file of it is mapped, and read into memory once something is added.

    Vectors are divided by the longest length, since bytes hold numbers from -1 to 1 alone; that changes no order.
    """

    grows = True

    def __init__(self, config: UsearchConfig, dimensions: int) -> None:
        self.config = config
        self.dimensions = dimensions
        self.index: Any = None
        self.scale = np.float32(1)
        self._file: Path | None = None

    def fill(self, kept: Kept, done: int, advance: Callable[[int], None]) -> None:
        """Take all vectors in; a graph that is gone on with after a kill is another, as good one."""
        if not done:
            self._begin(kept)
        for values in unit_blocks(kept, self.dimensions, done):
            self.append(values)
            advance(len(values))

    def _begin(self, kept: Kept) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=self.dimensions,
            metric="ip",
            dtype=self.config.dtype,
            connectivity=self.config.connectivity,
            expansion_add=self.config.ef_build,
            expansion_search=self.config.ef_search,
            enable_key_lookups=False,
        )
        if kept.metric == "dot" and kept.longest > 0:
            self.scale = np.float32(1 / kept.longest)

    def append(self, values: NDArray[np.float32]) -> None:
        """Take in vectors."""
        if self._file is not None:
            self._open(self._file, view=False)
            self._file = None
        start = len(self.index)
        self.index.add(np.arange(start, start + len(values), dtype=np.uint64), values * self.scale, threads=1)

    def evaluations(self, count: int) -> float:
        """Return how many vectors the graph is searched in, see :data:`spaniel_dense.engine.PER_CANDIDATE`."""
        return PER_CANDIDATE * max(self.config.ef_search, count * self.config.rescore)

    def candidates(
        self, asked: NDArray[np.float32], count: int, eligible: NDArray[np.bool_] | None, effort: int
    ) -> NDArray[np.int64]:
        """Return the positions that usearch finds; it has no filters, so more are asked for and dropped."""
        wanted = over_fetch(count * self.config.rescore, eligible, len(self.index), effort)
        found = self.index.search(asked, wanted, threads=min(threads(), len(asked)))
        if len(asked) == 1:
            return drop_ineligible(np.asarray(found.keys, np.int64).reshape(1, -1), eligible)
        held = np.arange(found.keys.shape[1]) < np.asarray(found.counts)[:, None]
        return drop_ineligible(np.where(held, found.keys.astype(np.int64), -1), eligible)

    def write(self, folder: Path) -> None:
        """Write usearch's own file, and the scale."""
        self.index.save(folder / _FILE)
        np.save(folder / "scale.npy", self.scale, allow_pickle=False)

    def check(self, folder: Path, kept: Kept) -> None:
        """Refuse usearch's own file: the graph in it is followed as it is."""
        refuse(folder / _FILE, "usearch")

    def read(self, folder: Path) -> None:
        """Map usearch's own file.

        Raises:
            ArtifactError: it is damaged.
        """
        self._file = folder / _FILE
        self._open(self._file, view=True)
        self.scale = np.float32(np.load(folder / "scale.npy", allow_pickle=False))

    def _open(self, file: Path, view: bool) -> None:
        from usearch.index import Index

        try:
            self.index = Index.restore(file, view=view, enable_key_lookups=False)
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(file, f"is damaged ({error}); remove the index and build it again") from error
        if self.index is None:
            raise ArtifactError(file, "holds no index of usearch; remove the index and build it again")
        self.index.expansion_add, self.index.expansion_search = self.config.ef_build, self.config.ef_search
