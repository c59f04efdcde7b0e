"""Approximate indexes: an engine finds candidates, and the kept vectors score them exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Run, UsageError
from spaniel.contents import require

from spaniel_dense.filling import Filling
from spaniel_dense.flat import search_exactly, warm
from spaniel_dense.kept import Kept, check_kept, keep, kept_in, open_kept
from spaniel_dense.selection import ranked

if TYPE_CHECKING:
    from spaniel.store import Artifact, Draft

EXACT = 1024
"""Among so many documents, or fewer, search is exact: that is faster than any engine."""
SHARE = 4
"""Where one document in so many is wanted, or more, search is exact, too."""
CANDIDATES = 2**21
"""Candidates scored at once; one query may have more."""
EFFORTS = (1, 4, 16)
"""How much harder an engine tries for queries that it found too few documents for; after the last, search is exact."""

PER_CANDIDATE = 16
"""Vectors that a graph compares with a query for each candidate of its effort, about."""
_ONE, _MANY = 0.3, 0.06
_FOLDER = "engine"


class Engine(Protocol):
    """What finds candidates among vectors of length 1, or of any length under ``dot``, by their positions."""

    grows: bool
    """Whether filling takes so long that an engine is written in between, and goes on from what was read."""

    def fill(self, kept: Kept, done: int, advance: Callable[[int], None]) -> None:
        """Take in all vectors from the ``done``-th on; where that is the first, learn what there is to learn before."""
        ...

    def append(self, values: NDArray[np.float32]) -> None:
        """Take in vectors at the positions that follow."""
        ...

    def candidates(
        self, asked: NDArray[np.float32], count: int, eligible: NDArray[np.bool_] | None, effort: int
    ) -> NDArray[np.int64]:
        """Return eligible positions, ``(queries, any)`` int64, -1 where there are fewer; none comes twice in a line."""
        ...

    def evaluations(self, count: int) -> float:
        """Return about how many vectors a query is compared with for ``count`` documents, each from its own place."""
        ...

    def write(self, folder: Path) -> None:
        """Write what :meth:`read` reads."""
        ...

    def check(self, folder: Path, kept: Kept) -> None:
        """Look through what :meth:`read` would read of an index from elsewhere.

        Raises:
            ArtifactError: it does not fit the vectors, or nobody can look through it.
        """
        ...

    def read(self, folder: Path) -> None:
        """Open what :meth:`write` wrote."""
        ...


class EngineIndexer:
    """What the indexers of approximate engines share; one says its name and makes an engine.

    Attributes:
        name: of the component.
        module: what is imported for it; with ``extra``, which installs it.
    """

    name = ""
    module = ""
    extra = ""
    can_add = True
    can_delete = True
    can_filter = True
    recall = 0.9

    def check_engine(self) -> None:
        """Check that the engine is installed, without importing it.

        Raises:
            UsageError: it is not; the message has the command that installs it.
        """
        if find_spec(self.module) is None:
            raise UsageError(f'`{self.name}` needs {self.module}: pip install "spaniel-dense[{self.extra}]"')

    def engine(self, dimensions: int) -> Engine:
        """Return an empty engine."""
        raise AssertionError  # each has its own

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing beyond the options."""
        return {}

    def build(self, source: Any, draft: Draft) -> None:
        """Write vectors and engine.

        Raises:
            UsageError: the source holds no dense vectors, or the engine cannot learn from them.
        """
        keep(source, draft, self.name)
        index = EngineIndex(kept_in(draft), self.engine)
        index.fill(draft)
        index.write(draft)

    def check(self, artifact: Artifact) -> None:
        """Look through the vectors, and through the engine's own files.

        Raises:
            ArtifactError: a number is out of bounds, or the engine's files cannot be looked through.
        """
        kept = check_kept(artifact)
        if _has_engine(artifact):
            require(len(kept) > 0, artifact.path, "holds an engine without vectors")
            self.engine(kept.dimensions).check(artifact.path / _FOLDER, kept)

    def open(self, artifact: Artifact) -> EngineIndex:
        """Open an index.

        Raises:
            ArtifactError: it is damaged.
        """
        index = EngineIndex(open_kept(artifact), self.engine)
        if _has_engine(artifact):
            index.read(artifact.path)
        index.warm()
        return index


class EngineIndex:
    """Candidates of an engine, with their true scores.

    What is returned is ordered under the tie rule, by scores that are those of exact search to the last bit. Which
    documents are found is the engine's guess, ties at the cut included; but as many as can be are returned.

    Deleted documents are marked, and left out of every answer. Saving writes neither them nor an engine that has seen
    them: it is filled anew with the vectors that are left.

    Args:
        kept: the vectors.
        make: makes an empty engine for vectors of so many dimensions. There is none for :data:`EXACT` vectors or fewer.

    Attributes:
        asks_engine: whether the engine is asked even where comparing everything is faster, as tests of engines want it.
    """

    asks_engine = False

    def __init__(self, kept: Kept, make: Callable[[int], Engine]) -> None:
        self.kept = kept
        self._make = make
        self._engine: Engine | None = None

    def __len__(self) -> int:
        return len(self.kept)

    def search(self, queries: Any, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return ``k`` rows of each query, fewer where there are fewer, with their true scores.

        Raises:
            UsageError: the queries are no dense vectors of as many dimensions, or ``allowed`` is no mask.
        """
        asked = self.kept.checked(queries)
        eligible = self.kept.eligible(allowed)
        among = len(self.kept) if eligible is None else int(np.count_nonzero(eligible))
        k = min(k, among)
        if not len(asked) or k < 1:
            return Run.empty(len(asked))
        if self._engine is None or among <= EXACT or k * SHARE >= among:
            return search_exactly(self.kept, asked, k, eligible)
        if not self.asks_engine and among * price(len(asked)) <= self._engine.evaluations(k):
            return search_exactly(self.kept, asked, k, eligible)
        step = max(1, CANDIDATES // (4 * k))
        if len(asked) <= step:
            return self._search(self._engine, asked, k, eligible)
        parts = [asked[start : start + step] for start in range(0, len(asked), step)]
        return Run.concatenate([self._search(self._engine, part, k, eligible) for part in parts])

    def _search(self, engine: Engine, asked: NDArray[np.float32], k: int, eligible: NDArray[np.bool_] | None) -> Run:
        positions = engine.candidates(asked, k, eligible, EFFORTS[0])
        rows, scores, counts = self._rank(asked, positions, k, eligible)
        left = np.flatnonzero(counts < k)
        for effort in EFFORTS[1:]:
            if not len(left):
                break
            positions = engine.candidates(asked[left], k, eligible, effort)
            rows[left], scores[left], counts = self._rank(asked[left], positions, k, eligible)
            left = left[counts < k]
        if len(left):
            exactly = search_exactly(self.kept, asked[left], k, eligible)
            rows[left], scores[left] = exactly.rows.reshape(-1, k), exactly.scores.reshape(-1, k)
        return ranked(rows, scores)

    def _rank(
        self, asked: NDArray[np.float32], positions: NDArray[np.int64], k: int, eligible: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        if positions.shape[1] < k:
            missing = np.full((len(asked), k - positions.shape[1]), -1, np.int64)
            positions = np.concatenate([positions, missing], axis=1)
        return self.kept.rank(asked, positions, k, eligible)

    def warm(self) -> None:
        """Load the compiled kernels of a search, which is no part of its time."""
        warm(self.kept)
        if self._engine is not None:
            self._search(self._engine, np.ones((1, self.kept.dimensions), np.float32), 1, None)

    def add(self, source: Any, rows: NDArray[Any]) -> None:
        """Take in vectors of the same type, dimensions and metric under rows of their own."""
        added = self.kept.add(source, rows)
        if self._engine is None:
            if len(self.kept.rows) > EXACT:
                self._engine = self._make(self.kept.dimensions)
                self._engine.fill(self.kept, 0, lambda done: None)
            return
        values, scale = added.values.astype(np.float32), self.kept.segments[-1].scale
        self._engine.append(values if scale is None else values * scale[:, None])

    def delete(self, rows: NDArray[Any]) -> None:
        """Let documents go."""
        self.kept.delete(rows)

    def save(self, draft: Draft) -> None:
        """Write the vectors that are left, and an engine that holds no others."""
        self.kept.save(draft)
        if not self.kept.deleted:
            self.write(draft)
            return
        rest = EngineIndex(kept_in(draft), self._make)
        rest.fill(draft)
        rest.write(draft)

    def fill(self, draft: Draft) -> None:
        """Make an engine of the vectors, where they are many enough; one that was being filled is gone on with."""
        if len(self.kept.rows) > EXACT:
            engine = self._make(self.kept.dimensions)
            filling = Filling(draft, engine, draft.progress(len(self.kept.rows), "vectors"))
            engine.fill(self.kept, filling.done, filling.advance)
            filling.finish()
            self._engine = engine

    def write(self, draft: Draft) -> None:
        """Write the engine alone."""
        if self._engine is not None:
            folder = draft.file(_FOLDER)
            folder.mkdir(exist_ok=True)
            self._engine.write(folder)

    def read(self, folder: Path) -> None:
        """Open the engine in an index's folder."""
        self._engine = self._make(self.kept.dimensions)
        self._engine.read(folder / _FOLDER)


def price(queries: int) -> float:
    """Return how long exact search takes for one vector and one of so many queries, in comparisons of a graph.

    Exact search reads vectors one after the other, and for many queries each of them once; measured at 384 dimensions.
    """
    return _MANY + (_ONE - _MANY) / queries


def refuse(where: Path, name: str) -> None:
    """Refuse an engine's file that was written elsewhere, and that its library would trust.

    Raises:
        ArtifactError: always.
    """
    raise ArtifactError(
        where,
        f"was written elsewhere, and {name} would trust whatever it holds: remove the index and build it here, or take it "
        "by `spaniel store import --trust` if you know who made it",
    )


def _has_engine(artifact: Artifact) -> bool:
    return any(name.startswith(f"{_FOLDER}/") for name in artifact.files)


def unit_blocks(kept: Kept, numbers: int, done: int = 0) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of the vectors as engines take them in: of length 1 under the cosine; those from ``done`` on."""
    for start, values, scale in kept.blocks(numbers):
        if start < done:
            continue  # an engine is written between blocks
        yield values if scale is None else values * scale[:, None]


def sample(kept: Kept, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return some of the vectors, as engines take them in, to learn from."""
    if size >= len(kept.rows):
        positions = np.arange(len(kept.rows))
    else:
        positions = np.sort(rng.choice(len(kept.rows), size, replace=False))
    values, scale = kept.take(positions)
    return values if scale is None else values * scale[:, None]


def over_fetch(count: int, eligible: NDArray[np.bool_] | None, total: int, effort: int) -> int:
    """Return how many to ask an engine for that cannot filter, so that about ``count`` of them are eligible.

    Half as many again as are expected, for those that lie where few are eligible.
    """
    if eligible is None:
        return min(count * effort, total)
    share = max(int(np.count_nonzero(eligible)), 1) / total
    return min(int(1.5 * effort * count / share) + 1, total)


def drop_ineligible(positions: NDArray[np.int64], eligible: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return positions with -1 for those that are not eligible."""
    if eligible is None:
        return positions
    return np.where((positions >= 0) & eligible[positions], positions, -1)
