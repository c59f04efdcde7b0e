"""Any index of dense vectors, in shards.

Row ``r`` lives in shard ``r mod n``, there under row ``r // n``. So a shard needs no table of rows, rows keep their order
within it, and what is merged from exact shards is what one exact index finds, ties included. Each shard is a whole index
in a folder of its own: what builds, opens or searches one needs nothing of the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Run
from spaniel.contents import noted, require
from spaniel.data import DenseVectors
from spaniel.indexing import merge_runs
from spaniel.store import Artifact, Draft

from spaniel_dense.checks import as_rows, checked_vectors
from spaniel_dense.config import ShardedConfig

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Index, Indexer, LivingIndex


class ShardedIndexer:
    """Builds, opens and changes shards by another indexer, and can what that can."""

    def __init__(self, config: ShardedConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @property
    def inner(self) -> Indexer:
        """What each shard is."""
        return cast("Indexer", self.context.create("index", self.config.index))

    @property
    def can_add(self) -> bool:
        """Whether the shards take in documents."""
        return self.inner.can_add

    @property
    def can_delete(self) -> bool:
        """Whether the shards let documents go."""
        return self.inner.can_delete

    @property
    def can_filter(self) -> bool:
        """Whether the shards search among allowed rows."""
        return self.inner.can_filter

    @property
    def is_random(self) -> bool:
        """Whether the seed changes a shard."""
        return bool(getattr(self.inner, "is_random", False))

    @property
    def recall(self) -> float:
        """That of a shard: merging loses nothing."""
        return self.inner.recall

    def fingerprint(self) -> Mapping[str, Any]:
        """That of a shard."""
        return self.inner.fingerprint()

    def build(self, source: Any, draft: Draft) -> None:
        """Build one shard after the other; a build that was killed goes on with the first unfinished one.

        Raises:
            UsageError: the source holds no dense vectors, or a shard cannot be built from its share.
        """
        vectors = checked_vectors(source, "sharded")
        parts = [Part(draft, number) for number in range(self.config.shards)]
        notes = [draft.file(f"shard-{number}.json") for number in range(len(parts))]
        for number, (part, note) in enumerate(zip(parts, notes, strict=True)):
            if draft.done(note.name):
                part.info.update(json.loads(note.read_bytes()))
                continue
            self.inner.build(vectors[number :: self.config.shards], cast(Draft, part))
            note.write_text(json.dumps(part.info))
            draft.finish(note.name)
        for note in notes:
            note.unlink()
        draft.info.update(documents=len(vectors), shards=[part.info for part in parts])

    def check(self, artifact: Artifact) -> None:
        """Have every shard looked through.

        Raises:
            ArtifactError: a number is out of bounds.
        """
        parts = self._parts(artifact)
        for part in parts:
            self.inner.check(part)
        counts = [noted(part, "documents") for part in parts]
        noted(artifact, "documents", sum(counts), sum(counts))

    def open(self, artifact: Artifact) -> ShardedIndex:
        """Open all shards.

        Raises:
            ArtifactError: one is damaged.
        """
        return ShardedIndex([self.inner.open(part) for part in self._parts(artifact)])

    def _parts(self, artifact: Artifact) -> list[Artifact]:
        shards, count = artifact.info.get("shards"), self.config.shards
        fits = isinstance(shards, list) and len(shards) == count and all(isinstance(shard, dict) for shard in shards)
        require(fits, artifact.path / "manifest.json", f"does not note {count} shards")
        return [part_of(artifact, number) for number in range(count)]


class ShardedIndex:
    """Asks every shard, and merges what they find."""

    def __init__(self, shards: Sequence[Index]) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    @property
    def asks_engine(self) -> bool:
        """Whether the engines of the shards are asked even where comparing everything is faster."""
        return any(getattr(shard, "asks_engine", False) for shard in self.shards)

    @asks_engine.setter
    def asks_engine(self, asks: bool) -> None:
        for shard in self.shards:
            if hasattr(shard, "asks_engine"):
                shard.asks_engine = asks

    def search(self, queries: Any, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best rows of each query over all shards, under the tie rule."""
        count = len(self.shards)
        runs = []
        for number, shard in enumerate(self.shards):
            found = shard.search(queries, k) if allowed is None else shard.search(queries, k, allowed[number::count])
            rows = found.rows.astype(np.int64) * count + number
            runs.append(Run.build(found.offsets, rows, found.scores))
        return merge_runs(runs, k)

    def add(self, source: Any, rows: NDArray[Any]) -> None:
        """Take in vectors, each in the shard that its row says."""
        vectors = checked_vectors(source, "this index")
        for shard, part, positions in self._shares(as_rows(rows, len(vectors))):
            shard.add(DenseVectors(vectors.values[positions], vectors.metric), part)

    def delete(self, rows: NDArray[Any]) -> None:
        """Let documents go."""
        for shard, part, _ in self._shares(as_rows(rows, len(rows))):
            shard.delete(part)

    def save(self, draft: Draft) -> None:
        """Write all shards."""
        parts = [Part(draft, number) for number in range(len(self.shards))]
        for shard, part in zip(self.shards, parts, strict=True):
            cast("LivingIndex", shard).save(cast(Draft, part))
        draft.info.update(documents=len(self), shards=[part.info for part in parts])

    def _shares(self, rows: NDArray[np.int32]) -> list[tuple[LivingIndex, NDArray[np.int32], NDArray[np.int64]]]:
        count = len(self.shards)
        chosen = [np.flatnonzero(rows % count == number) for number in range(count)]
        return [
            (cast("LivingIndex", shard), rows[at] // count, at)
            for shard, at in zip(self.shards, chosen, strict=True)
            if len(at)
        ]


class Part:
    """A shard's part of a draft: what a draft is to an indexer, in a folder of its own."""

    def __init__(self, draft: Draft, number: int) -> None:
        self._draft = draft
        self._name = f"shard-{number}"
        self.path = draft.file(self._name)
        self.path.mkdir(exist_ok=True)
        self.inputs = draft.inputs
        self.info: dict[str, Any] = {}

    def file(self, name: str) -> Path:
        """Return the path for a file or folder of the shard."""
        return self._draft.file(f"{self._name}/{name}")

    def done(self, part: str) -> bool:
        """Whether a part of the shard was finished."""
        return self._draft.done(f"{self._name} {part}")

    def finish(self, part: str, *files: Path) -> None:
        """Record that a part of the shard is finished."""
        self._draft.finish(f"{self._name} {part}", *files)

    def progress(self, total: int | None, unit: str) -> Callable[[int], None]:
        """Report within the shard."""
        return self._draft.progress(total, unit)


def part_of(artifact: Artifact, number: int) -> Artifact:
    """Return a shard as an artifact by itself."""
    name = f"shard-{number}"
    files = {
        file.removeprefix(f"{name}/"): entry for file, entry in artifact.files.items() if file.startswith(f"{name}/")
    }
    return Artifact(artifact.path / name, artifact.recipe, artifact.info["shards"][number], files, artifact.seconds)
