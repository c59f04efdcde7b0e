"""What a model that comes out of a training has learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spaniel.learning import Lesson, read_lessons

from spaniel_train.data import Data
from spaniel_train.recipe import Recipe, Source

if TYPE_CHECKING:
    from spaniel_train.evaluating import Evaluator


def lessons_of(recipe: Recipe, data: Data, evaluator: Evaluator | None, base: Path | None) -> list[Lesson]:
    """Return the lessons of a training: the base's own, the queries of each source, and those that weights are chosen by.

    Queries that are only measured on, with ``keep: last`` and no ``patience``, teach nothing.
    """
    made = list(read_lessons(base)) if base is not None else []
    texts: list[set[str]] = [set() for _ in recipe.data]
    for row, number in zip(data.rows, data.datasets.tolist(), strict=True):
        if row.query:
            texts[number].add(row.query)
    made += [Lesson.of(_name(source), asked) for source, asked in zip(recipe.data, texts, strict=True)]
    if evaluator is not None and (evaluator.spec.keep == "best" or evaluator.spec.patience is not None):
        spec = evaluator.spec
        made.append(Lesson.of(f"{_last(spec.collection)} {spec.split or 'test'}", evaluator.queries.texts, "chosen"))
    return made


def merged(lessons: Sequence[Lesson]) -> list[Lesson]:
    """Return lessons without those that come twice."""
    return list({(one.source, one.how, one.keys.tobytes()): one for one in lessons}.values())


def _name(source: Source) -> str:
    if source.rows is not None:
        return _last(source.rows)
    split = source.split or ("" if source.synthesizer is not None else "train")
    return f"{_last(str(source.collection))} {split}".strip()


def _last(name: str) -> str:
    return Path(name).name or name
