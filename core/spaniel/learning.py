"""Queries that the models of a pipeline have learned from, so that nobody takes a figure on them for a fair one.

A component whose model is trained or tuned on queries says so by a method ``lessons()``, which returns :class:`Lesson`
objects; a model folder has them in ``lessons.json``, which is read wherever an option of a component names the folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from spaniel.context import blame
from spaniel.data.files import write_text
from spaniel.errors import ArtifactError
from spaniel.pipeline.bind import Bound, Pipeline

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.data import Queries

LESSONS = "lessons.json"
_MOST = 1 << 30
"""Bytes of such a file that are read: 100 million queries."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What something was learned from.

    Attributes:
        source: the collection and its split, or the file, for readers.
        how: ``"trained"`` on the queries, or ``"chosen"`` by what was measured on them.
        keys: of the queries' texts, sorted, each once: ``(queries,)`` uint64; see :meth:`of`.
    """

    source: str
    how: Literal["trained", "chosen"]
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, source: str, texts: Iterable[str], how: Literal["trained", "chosen"] = "trained") -> Lesson:
        """Return the lesson of some queries; upper case and blanks in their texts make no difference."""
        return cls(source, how, np.unique(_keys(texts)))


@dataclass(frozen=True)
class Learned:
    """Queries that a component of a pipeline has learned from.

    Attributes:
        component: its name.
        source: what it learned from, as the lesson tells.
        how: ``"trained"`` or ``"chosen"``.
        queries: their places among the queries that were asked about.
    """

    component: str
    source: str
    how: str
    queries: tuple[int, ...]

    def __str__(self) -> str:
        return f"`{self.component}` was {self.how} {'on' if self.how == 'trained' else 'by'} {self.source}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the number of the queries."""
        return {"component": self.component, "source": self.source, "how": self.how, "queries": len(self.queries)}


def learned_from(context: Context, pipeline: Pipeline, queries: Queries) -> list[Learned]:
    """Return which of some queries the components of a pipeline have learned from; what none learned is left out.

    Raises:
        ArtifactError: a model folder's lessons are damaged.
    """
    found: dict[tuple[str, str, str], Learned] = {}
    keys: NDArray[np.uint64] | None = None
    for bound in pipeline.walk():
        for lesson in context.once(("lessons", bound.digest), partial(_lessons, context, bound)):
            keys = _keys(queries.texts) if keys is None else keys
            places = np.flatnonzero(np.isin(keys, lesson.keys)).tolist()
            one = Learned(bound.registered.name, lesson.source, lesson.how, tuple(places))
            if places:
                found.setdefault((one.component, one.source, one.how), one)
    return list(found.values())


def write_lessons(folder: Path, lessons: Iterable[Lesson]) -> None:
    """Write what a model was learned from into its folder; nothing where there is nothing to tell."""
    told = [
        {"source": one.source, "how": one.how, "queries": base64.b64encode(one.keys.astype("<u8").tobytes()).decode()}
        for one in lessons
        if len(one.keys)
    ]
    if told:
        with write_text(folder / LESSONS) as file:
            json.dump({"format": 1, "lessons": told}, file, ensure_ascii=False, indent=1)


def read_lessons(folder: Path) -> list[Lesson]:
    """Return what a model folder says that it was learned from; nothing where it does not say.

    Raises:
        ArtifactError: what it says is damaged.
    """
    path = folder / LESSONS
    try:
        if not path.is_file():
            return []
        if path.stat().st_size > _MOST:
            raise ValueError(f"it is longer than {_MOST:,} bytes")
        return [_read(one) for one in json.loads(path.read_text(encoding="utf-8"))["lessons"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(path, f"does not say what the model learned from ({error}); remove the file") from error


def _read(told: Any) -> Lesson:
    if told["how"] not in ("trained", "chosen"):
        raise ValueError(f"{told['how']!r} is neither trained nor chosen")
    keys = np.frombuffer(base64.b64decode(told["queries"], validate=True), "<u8").astype(np.uint64)
    return Lesson(str(told["source"]), told["how"], np.unique(keys))


def _lessons(context: Context, bound: Bound) -> tuple[Lesson, ...]:
    found: list[Lesson] = []
    tell = getattr(context.make(bound), "lessons", None)
    if callable(tell):
        with blame(bound.registered.distribution, f"{bound.kind} `{bound.registered.name}`"):
            found += tell()
    for folder in dict.fromkeys(_folders(bound.config.model_dump() if bound.config is not None else {})):
        found += read_lessons(folder)
    return tuple(found)


def _folders(value: Any) -> Iterator[Path]:
    """Yield the folders that an option names."""
    if isinstance(value, dict):
        for part in value.values():
            yield from _folders(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _folders(part)
    elif isinstance(value, str | Path) and str(value):
        try:
            folder = Path(value).expanduser()
            if folder.is_dir():
                yield folder
        except (OSError, ValueError, RuntimeError):
            return  # it is no path


def _keys(texts: Iterable[str] | Sequence[str]) -> NDArray[np.uint64]:
    made = [_key(text) for text in texts]
    return np.array(made, np.uint64)


def _key(text: str) -> int:
    plain = " ".join(text.lower().split())
    return int.from_bytes(hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()[:8], "little")
