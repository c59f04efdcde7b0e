"""Which test collection a name or a path means."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from spaniel.data import OnError, open_folder
from spaniel.errors import UsageError
from spaniel.expression import Stage, parse
from spaniel.expression.tree import NAME

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.protocols import Dataset

DATASET = "dataset"


def find_dataset(context: Context, text: str, on_error: OnError = "fail") -> Dataset:
    """Return the collection that ``text`` means.

    Args:
        context: the session.
        text: a folder or a file; the name of a component of kind ``dataset``, also with options, as in
            ``files(path="./notes", words=100)``; or ``family:name``, which hands ``name`` to the component ``family``.
        on_error: what malformed input in a folder does: ``"fail"`` or ``"skip"``.

    Raises:
        UsageError: there is no such folder or name; the message lists the names there are.
    """
    if not text:
        raise UsageError("a collection is a folder or a name, not an empty text")
    path = Path(text).expanduser()
    family, colon, name = text.partition(":")
    known = [r.name for r in context.registry.components(DATASET)] if DATASET in context.registry.kinds else []
    bare = family.rpartition("/")[2]
    if NAME.fullmatch(family) and bare in known:
        stage = Stage(family, name=name) if colon else Stage(family)
        dataset: Dataset = context.create(DATASET, stage)
        return dataset
    try:
        there = path.exists()
    except (OSError, ValueError):
        there = False
    if there:
        return open_folder(path, on_error, context.store, context)
    opens, close = text.find("("), text.endswith(")")
    if opens > 0 and close and NAME.fullmatch(text[:opens]) and text[:opens].rpartition("/")[2] in known:
        made: Dataset = context.create(DATASET, parse(text))
        return made
    near = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    names = f"names: {', '.join(sorted(known))}" if known else _no_names(context)
    raise UsageError(f"there is no folder and no collection {text!r}; {hint}{names}")


def _no_names(context: Context) -> str:
    from spaniel.plugins.catalogue import unknown_kind

    return f"no names are known without the kind {DATASET}, {unknown_kind(context.registry, DATASET)}"


def choose_split(dataset: Dataset, split: str | None) -> str:
    """Return the split to use: the one asked for, else ``test``, else the only one.

    Raises:
        UsageError: the collection has no such split, or several and none was asked for.
    """
    splits = list(dataset.splits)
    if split is None:
        if "test" in splits or len(splits) == 1:
            return "test" if "test" in splits else splits[0]
        raise UsageError(f"{dataset.name} has the splits {', '.join(splits) or '(none)'}: choose one with --split")
    if split not in splits:
        raise UsageError(f"{dataset.name} has no split {split!r}; it has {', '.join(splits) or 'none'}")
    return split
