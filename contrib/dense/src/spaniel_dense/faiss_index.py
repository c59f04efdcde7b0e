"""Indexes of faiss, by its factory strings.

Source: Johnson, Douze and Jégou, Billion-scale similarity search with GPUs, 2017; Malkov and Yashunin, Efficient and
robust approximate nearest neighbor search using Hierarchical Navigable Small World graphs, 2016 (HNSW); Jégou, Douze
and Schmid, Product quantization for nearest neighbor search, 2011 (IVF, PQ).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, UsageError

from spaniel_dense.config import FaissConfig
from spaniel_dense.engine import PER_CANDIDATE, EngineIndexer, drop_ineligible, over_fetch, refuse, sample, unit_blocks
from spaniel_dense.kept import Kept

if TYPE_CHECKING:
    from spaniel import Context

_FILE = "index.faiss"
_LOSSY = ("PQ", "SQ", "RaBitQ", "PCA", "LSQ", "RQ", "ITQ", "AQ")
"""What in a factory string says that codes are not the vectors themselves."""
_RESCORED = 4
_QUANTIZERS, _INNER = ("pq", "rq", "lsq", "prq"), ("index", "base_index", "storage", "quantizer")
"""Where an index of faiss keeps what clusters, and other indexes."""


class FaissIndexer(EngineIndexer):
    """Builds an index by a factory string, as ``HNSW32,Flat``, ``IVF1024,PQ48x4fs`` or ``OPQ32,IVF1024,PQ32``."""

    name, module, extra = "faiss", "faiss", "faiss"
    is_random = True

    def __init__(self, config: FaissConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.check_engine()

    def fingerprint(self) -> Mapping[str, Any]:
        """The version of faiss: another one may learn other codes, or write another form."""
        try:
            return {"faiss": version("faiss-cpu")}
        except PackageNotFoundError:  # built for other hardware, under another name
            import faiss

            return {"faiss": faiss.__version__}

    def engine(self, dimensions: int) -> Faiss:
        """Return an index of faiss, empty and not trained."""
        return Faiss(self.config, dimensions, self.context.seed_for("faiss") & 0x7FFFFFFF)


class Faiss:
    """An index of faiss over positions."""

    grows = True

    def __init__(self, config: FaissConfig, dimensions: int, seed: int) -> None:
        self.config = config
        self.dimensions = dimensions
        self.seed = seed
        self.index: Any = None
        self._known: dict[tuple[int, int], Any] = {}
        lossy = any(code in config.factory for code in _LOSSY)
        self.rescore = config.rescore or (_RESCORED if lossy else 1)

    def fill(self, kept: Kept, done: int, advance: Callable[[int], None]) -> None:
        """Train on a sample, and take all vectors in; a graph that is gone on with after a kill is another, as good one.

        Raises:
            UsageError: the factory string is none, or there are too few vectors to train on.
        """
        if not done:
            self._learn(kept)
        for values in unit_blocks(kept, self.dimensions, done):
            self.append(values)
            advance(len(values))
        self._prepare()

    def _learn(self, kept: Kept) -> None:
        import faiss

        where = f"faiss(factory={self.config.factory!r}) over {len(kept.rows)} vectors of {self.dimensions} dimensions"
        try:
            self.index = faiss.index_factory(self.dimensions, self.config.factory, faiss.METRIC_INNER_PRODUCT)
            self._known.clear()
            lent = _settle(self.index, self.seed)
            if not self.index.is_trained:
                self.index.train(sample(kept, self.config.train, np.random.default_rng(self.seed)))
            for transform, _ in lent:
                transform.pq = None
        except RuntimeError as error:
            raise UsageError(f"{where}: {_reason(error)}") from error

    def append(self, values: NDArray[np.float32]) -> None:
        """Take in vectors; graphs grow in one thread, so that they come out the same."""
        with _threads(1 if "HNSW" in self.config.factory or "NSG" in self.config.factory else None):
            self.index.add(np.ascontiguousarray(values))

    def evaluations(self, count: int) -> float:
        """Return how many vectors a graph is searched in, see :data:`spaniel_dense.engine.PER_CANDIDATE`; else 0."""
        if not self.config.factory.startswith("HNSW") or self.rescore > 1:
            return 0.0
        return PER_CANDIDATE * max(self.config.ef_search, count)

    def candidates(
        self, asked: NDArray[np.float32], count: int, eligible: NDArray[np.bool_] | None, effort: int
    ) -> NDArray[np.int64]:
        """Return the positions that faiss finds; where an index has no filters, more are asked for and dropped."""
        wanted = min(count * self.rescore, self.index.ntotal)
        if (wanted, effort) not in self._known:
            self._known[wanted, effort] = self._parameters(self.index, wanted, None, effort)
        parameters = self._known[wanted, effort]
        if parameters is None:
            wanted = over_fetch(wanted, eligible, self.index.ntotal, effort)
            return drop_ineligible(self.index.search(asked, wanted)[1], eligible)
        if eligible is not None:
            import faiss

            bits = np.packbits(eligible, bitorder="little")
            parameters = self._parameters(self.index, wanted, faiss.IDSelectorBitmap(bits), effort)
        found: NDArray[np.int64] = self.index.search(asked, wanted, params=parameters)[1]
        return found

    def _parameters(self, index: Any, wanted: int, selector: Any, effort: int) -> Any:
        """Return how hard to search, and among what; ``None`` where an index takes no such thing."""
        import faiss

        index = faiss.downcast_index(index)
        if isinstance(index, faiss.IndexPreTransform | faiss.IndexRefine):
            is_refined = isinstance(index, faiss.IndexRefine)
            inner = self._parameters(index.base_index if is_refined else index.index, wanted, selector, effort)
            if inner is None:
                return None
            if is_refined:
                return faiss.IndexRefineSearchParameters(k_factor=1, base_index_params=inner)
            return faiss.SearchParametersPreTransform(index_params=inner, sel=selector)
        if isinstance(index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(nprobe=min(self.config.nprobe * effort, index.nlist), sel=selector)
        if isinstance(index, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(efSearch=max(self.config.ef_search, wanted) * effort, sel=selector)
        if isinstance(index, faiss.IndexFlat | faiss.IndexScalarQuantizer):
            return faiss.SearchParameters(sel=selector)
        return None

    def _prepare(self) -> None:
        """Set how hard to search, for the one graph that cannot be told with each search."""
        import faiss

        inner = faiss.downcast_index(self.index)
        if isinstance(inner, faiss.IndexNSG):
            inner.nsg.search_L = self.config.ef_search

    def write(self, folder: Path) -> None:
        """Write faiss' own file."""
        import faiss

        faiss.write_index(self.index, str(folder / _FILE))

    def check(self, folder: Path, kept: Kept) -> None:
        """Refuse faiss' own file: it has as many forms as there are factory strings, and is read as it is."""
        refuse(folder / _FILE, "faiss")

    def read(self, folder: Path) -> None:
        """Open faiss' own file.

        Raises:
            ArtifactError: it is damaged.
        """
        import faiss

        try:
            self.index = faiss.read_index(str(folder / _FILE))
            self._prepare()
        except RuntimeError as error:
            where = folder / _FILE
            raise ArtifactError(where, f"is damaged ({_reason(error)}); remove the index and build it again") from error


def _settle(index: Any, seed: int) -> list[tuple[Any, Any]]:
    """Set the seed of every clustering in an index, and let it go without a warning for each about few vectors.

    Returns:
        Rotations with the quantizers that are lent to them until they are trained.
    """
    import faiss

    index = faiss.downcast_index(index)
    for owner in (index, *(getattr(index, name, None) for name in _QUANTIZERS)):
        clustering = getattr(owner, "cp", None)
        if clustering is not None:
            clustering.seed = seed
            clustering.min_points_per_centroid = 1
    lent = [
        made
        for name in _INNER
        if getattr(index, name, None) is not None
        for made in _settle(getattr(index, name), seed)
    ]
    if isinstance(index, faiss.IndexPreTransform):
        for number in range(index.chain.size()):
            transform = faiss.downcast_VectorTransform(index.chain.at(number))
            if isinstance(transform, faiss.OPQMatrix) and transform.pq is None:
                # As it would make for itself.
                quantizer = faiss.ProductQuantizer(transform.d_out, transform.M, 8)
                quantizer.cp.seed, quantizer.cp.min_points_per_centroid = seed, 1
                transform.pq = quantizer
                lent.append((transform, quantizer))
    return lent


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    if count is not None:
        faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _reason(error: RuntimeError) -> str:
    """Return what faiss says, without where in its source it says so."""
    return str(error).rpartition("Error: ")[2] or str(error)
