"""Recipes read from YAML and checked: every fault in one message, each with its place, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from spaniel import Context, SpanielError, UsageError
from spaniel.yaml import Place, Yaml, read_yaml

from spaniel_train.protocols import LANGUAGE
from spaniel_train.recipe import Recipe

_SAID = {
    "matrix": "the scores of each query with the texts of other rows",
    "vectors": "vectors",
    "masked tokens": "the losses of masked tokens, as a masked language model has them",
    "next tokens": "the losses of next tokens, as a causal language model has them",
}


class Faults:
    """Faults of a recipe, with the lines of its file."""

    def __init__(self, read: Yaml) -> None:
        self.read = read
        self.found: list[str] = []

    def add(self, place: Place, problem: str) -> None:
        """Add a fault of a field."""
        self.found.append(f"{self.read.where(place)}: {_written(place)}{problem}")

    def raise_all(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            UsageError: with every fault.
        """
        if self.found:
            raise UsageError("\n".join(self.found))


def _written(place: Place) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
    return f"{''.join(parts).lstrip('.')}: " if parts else ""


def read_recipe(path: Path) -> tuple[Recipe, Faults]:
    """Read a recipe, and check all that can be checked of it by itself.

    Returns:
        the recipe, and a list for further faults.

    Raises:
        UsageError: it cannot be read, or says something that a recipe cannot.
    """
    read = read_yaml(path)
    faults = Faults(read)
    if not isinstance(read.content, dict):
        raise UsageError(f"{path} is no recipe: it needs {', '.join(Recipe.model_fields)}")
    try:
        return Recipe.model_validate_json(json.dumps(read.content)), faults
    except ValidationError as error:
        for one in error.errors(include_url=False):
            given = "" if one["type"] in ("missing", "value_error") else f" (given: {one['input']!r})"
            faults.add(one["loc"], one["msg"].removeprefix("Value error, ") + given)
        faults.raise_all()
        raise  # every error of pydantic is a fault


def check_recipe(context: Context, recipe: Recipe, faults: Faults) -> None:
    """Check what a recipe names: components, files, collections, models, measures; loads and fetches nothing.

    Raises:
        UsageError: with every fault.
    """
    for place, check in _checks(context, recipe):
        try:
            check()
        except SpanielError as error:
            faults.add(place, str(error))
    faults.raise_all()


def _checks(context: Context, recipe: Recipe) -> Iterator[tuple[Place, Any]]:
    yield ("model", "kind"), lambda: context.create("trainee", recipe.model.kind).check(recipe.model)
    yield ("model", "base"), lambda: _check_base(recipe)
    for number, source in enumerate(recipe.data):
        if source.rows is not None:
            yield ("data", number, "rows"), lambda path=source.rows: _check_file(path)
        else:
            split = source.split or ("train" if source.synthesizer is None else None)
            yield ("data", number, "collection"), lambda n=source.collection, s=split: _check_collection(context, n, s)
        if source.synthesizer is not None:
            yield ("data", number, "synthesizer"), lambda e=source.synthesizer: context.bind("synthesize", e)
    for number, term in enumerate(recipe.objectives):
        yield ("objectives", number, "use"), lambda e=term.use: _check_objective(context, recipe, e)
    yield ("optimizer", "use"), lambda: context.bind("optimizer", recipe.optimizer.use)
    for number, group in enumerate(recipe.optimizer.groups):
        if group.use is not None:
            yield ("optimizer", "groups", number, "use"), lambda e=group.use: context.bind("optimizer", e)
    if recipe.evaluation is not None:
        evaluation = recipe.evaluation
        yield (
            ("evaluation", "collection"),
            lambda: _check_collection(context, evaluation.collection, evaluation.split, default=True),
        )
        yield ("evaluation", "rerank"), lambda: _check_way(context, recipe)
        yield ("evaluation", "measure"), lambda: _check_measure(evaluation.measure)
        if evaluation.rerank is not None:
            yield ("evaluation", "rerank"), lambda: context.pipeline(evaluation.rerank)


def _check_base(recipe: Recipe) -> None:
    from spaniel_neural.locating import find_model

    fresh = recipe.model.fresh
    find_model(fresh.tokenizer if fresh is not None else str(recipe.model.base), recipe.model.revision)


def _check_file(path: str) -> None:
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}")


def _check_collection(context: Context, name: str, split: str | None, default: bool = False) -> None:
    from spaniel.collections import choose_split, find_dataset

    dataset = find_dataset(context, name)
    if split is not None or default:
        choose_split(dataset, split)


def _check_objective(context: Context, recipe: Recipe, expression: Any) -> None:
    needs = context.create("objective", expression).needs
    kind = recipe.model.kind
    try:
        gives = context.create("trainee", kind).gives
    except UsageError:
        return  # a fault of the kind, which is told there
    lacking: Sequence[str] = sorted((needs - {"teacher"}) - gives)
    if lacking:
        hint = "; info-nce has in_batch=false for that" if lacking[0] == "matrix" else ""
        what = _SAID.get(lacking[0], lacking[0])
        raise UsageError(f"{expression} needs {what}, and a model of the kind {kind} gives none{hint}")
    if gives & LANGUAGE and (not needs & LANGUAGE or len(recipe.objectives) > 1):
        raise UsageError(f"a model of the kind {kind} predicts tokens: it has one objective, of the same name")


def _check_way(context: Context, recipe: Recipe) -> None:
    """Check that the model can be measured as the recipe says."""
    assert recipe.evaluation is not None
    kind = recipe.model.kind
    can = context.create("trainee", kind).evaluates
    if not can:
        raise UsageError(f"a model of the kind {kind} is measured on no collection: leave evaluation away")
    if recipe.evaluation.rerank is None and "search" not in can:
        raise UsageError(f"a model of the kind {kind} needs lists to rerank: give rerank, as in bm25(k=50)")
    if recipe.evaluation.rerank is not None and "rerank" not in can:
        raise UsageError(f"a model of the kind {kind} searches, and reranks no lists: leave rerank away")


def _check_measure(name: str) -> None:
    from spaniel.evaluation import parse_measures

    parse_measures([name])
