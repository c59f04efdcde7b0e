"""Rows of numbers kept in the store by what they were computed of, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, UsageError
from spaniel.data import DenseVectors, VectorWriter, open_vectors
from spaniel.store import Need, Recipe, digest_bytes

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft

SHARD = 1024
"""Rows computed in one call and synced together; a build that was killed loses at most one shard."""
_KEYS, _ROWS = "keys.npy", "rows"
_KEY = "S32"

Compute = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Positions in the keys that were asked for → their rows, ``(positions, …)`` float32 or float16."""


def content_keys(parts: Sequence[str | tuple[str, ...]]) -> NDArray[np.bytes_]:
    """Return the digest of each text, or of each tuple of texts such as query and document: ``(n,)`` of 32 bytes."""
    texts = ((part,) if isinstance(part, str) else part for part in parts)
    digests = (hashlib.blake2b("\x1f".join(text).encode(), digest_size=16).hexdigest() for text in texts)
    return np.fromiter(digests, _KEY, len(parts))


class Kept:
    """Rows in the order of the keys that were asked for, read from the store's files as they are needed.

    Attributes:
        shape: of a row.
    """

    def __init__(
        self, parts: Sequence[NDArray[Any]], part: NDArray[np.int64], row: NDArray[np.int64], shape: tuple[int, ...]
    ) -> None:
        self.shape = shape
        self._parts, self._part, self._row = parts, part, row

    def __len__(self) -> int:
        return len(self._row)

    def take(self, positions: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Return some rows, ``(positions, …)``, copied."""
        chosen = np.asarray(positions, np.int64)
        dtype = self._parts[0].dtype if self._parts else np.float32
        taken = np.empty((len(chosen), int(np.prod(self.shape, dtype=np.int64))), dtype)
        for number in np.unique(self._part[chosen]):
            here = np.flatnonzero(self._part[chosen] == number)
            taken[here] = self._parts[number][self._row[chosen[here]]]
        return taken.reshape(len(chosen), *self.shape)

    def all(self) -> NDArray[Any]:
        """Return every row, ``(n, …)``."""
        return self.take(np.arange(len(self)))


class ContentCache:
    """Rows by content. Each call adds one artifact with what was missing, so ask for whole lists, not for single rows.

    Args:
        context: the session.
        component: ``"distribution/name"`` of what computes the rows.
        config: every option that decides them, as JSON.
        inputs: digests of what else decides them, such as the model.
        shape: of a row.
        kind: type of the artifacts.
    """

    def __init__(
        self,
        context: Context,
        component: str,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        shape: tuple[int, ...],
        kind: str,
    ) -> None:
        if "keys" in inputs:
            raise UsageError("the input `keys` of a cache is its own; name another")
        self.context = context
        self.shape = shape
        self._recipe = Recipe(kind, component, version(component.partition("/")[0]), config, None, inputs)
        self._artifacts: dict[str, Artifact] | None = None

    def rows(self, keys: NDArray[np.bytes_], compute: Compute) -> Kept:
        """Return the rows of some keys; those that the store lacks are computed and kept.

        Args:
            keys: see :func:`content_keys`; equal ones are computed once.
            compute: is called with up to :data:`SHARD` positions in ``keys`` at a time.

        Raises:
            ArtifactError: what was kept is damaged; the message names the file.
            PluginError: the computed rows have another shape.
        """
        known, part, row = self._known()
        distinct, first = np.unique(keys, return_index=True)
        lacking = np.sort(first[~np.isin(distinct, known)])
        if len(lacking):
            self._add(keys[lacking], lambda places: compute(lacking[places]))
            known, part, row = self._known()
        place = np.searchsorted(known, keys)
        parts = [self._open(artifact) for artifact in self._found().values()]
        return Kept(parts, part[place], row[place], self.shape)

    def _add(self, keys: NDArray[np.bytes_], compute: Compute) -> None:
        recipe = self._recipe
        inputs = {**recipe.inputs, "keys": digest_bytes(keys.tobytes())}
        added = Recipe(recipe.type, recipe.component, recipe.version, recipe.config, None, inputs)

        def build(draft: Draft) -> None:
            advance = draft.progress(len(keys), "texts")
            with VectorWriter(draft.file(_ROWS), len(keys)) as writer:
                advance(writer.next_row)
                while writer.next_row < len(keys):
                    places = np.arange(writer.next_row, min(writer.next_row + SHARD, len(keys)))
                    with self.context.following(len(places), advance):
                        made = compute(places)
                    if made.shape != (len(places), *self.shape):
                        raise ValueError(f"rows of {made.shape[1:]} instead of {self.shape} were computed")
                    writer.append(DenseVectors(made.reshape(len(places), -1)))
            with draft.file(_KEYS).open("wb") as file:
                np.save(file, keys)

        artifact = self.context.obtain(Need(added, build))
        self._found()[artifact.address] = artifact

    def _found(self) -> dict[str, Artifact]:
        """Return the artifacts of this cache; the store is read through once."""
        if self._artifacts is None:
            self._artifacts = {}
            for entry in self.context.store.list():
                if entry.artifact is not None and self._is_ours(entry.artifact.recipe):
                    self._artifacts[entry.address] = self.context.store.open(entry.address)
        return self._artifacts

    def _is_ours(self, recipe: Recipe) -> bool:
        inputs = {name: value for name, value in recipe.inputs.items() if name != "keys"}
        ours = self._recipe
        return (recipe.type, recipe.component, recipe.version, recipe.config, inputs) == (
            *(ours.type, ours.component, ours.version, ours.config),
            ours.inputs,
        )

    def _known(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.int64]]:
        """Return the keys that are kept, sorted, and for each the number of its artifact and its row there."""
        lists = [self.context.opened(artifact, _KEYS, _read_keys) for artifact in self._found().values()]
        if not lists:
            return np.empty(0, _KEY), np.empty(0, np.int64), np.empty(0, np.int64)
        keys = np.concatenate(lists)
        part = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
        row = np.concatenate([np.arange(len(one)) for one in lists])
        distinct, first = np.unique(keys, return_index=True)
        return distinct, part[first], row[first]

    def _open(self, artifact: Artifact) -> NDArray[Any]:
        vectors: DenseVectors = self.context.opened(artifact, _ROWS, lambda a: open_vectors(a.path / _ROWS))
        return vectors.values


def _read_keys(artifact: Artifact) -> NDArray[np.bytes_]:
    path = artifact.path / _KEYS
    try:
        keys: NDArray[np.bytes_] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(path, f"cannot be read ({error})") from error
    return keys
