"""How a collection is judged: from which grade on a document is relevant, and whether a query's own document counts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spaniel.data.queries import Queries
from spaniel.data.run import Run
from spaniel.errors import UsageError

SETTINGS = "spaniel.json"
"""The file of a folder that says how it is judged."""
_KNOWN = ("rel", "leave_out_own")
_LARGEST = 2**16


@dataclass(frozen=True)
class Judging:
    """How a collection is judged.

    Args:
        rel: the grade from which on a document is relevant; ``None`` takes every grade above 0. A measure's own level, as
            in ``AP(rel=2)``, wins.
        leave_out_own: leave the document whose id is the query's out of its list, as the figures of ArguAna and Quora are
            made.

    Raises:
        UsageError: ``rel`` is no number above 0, or ``leave_out_own`` neither true nor false.
    """

    rel: float | None = None
    leave_out_own: bool = False

    def __post_init__(self) -> None:
        number = isinstance(self.rel, int | float) and not isinstance(self.rel, bool)
        if self.rel is not None and not (number and 0 < self.rel < math.inf):
            raise UsageError(f"rel is a grade above 0, not {self.rel!r}")
        if not isinstance(self.leave_out_own, bool):
            raise UsageError(f"leave_out_own is true or false, not {self.leave_out_own!r}")

    def but(self, rel: float | None = None, leave_out_own: bool | None = None) -> Judging:
        """Return the same with what is given changed; ``None`` changes nothing."""
        changed = {"rel": rel, "leave_out_own": leave_out_own}
        return replace(self, **{name: value for name, value in changed.items() if value is not None})  # type: ignore[arg-type]


def read_judging(folder: Path) -> Judging:
    """Read ``spaniel.json`` of a folder; the usual rules where there is none.

    Raises:
        UsageError: the file is no JSON object, or holds what is not known.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return Judging()
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST} bytes")
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(settings, dict) or not settings.keys() <= set(_KNOWN):
        raise UsageError(f'{path} holds what is not known; it is like {{"rel": 2, "leave_out_own": true}}')
    try:
        return Judging(**settings)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def without_own(run: Run, queries: Queries, documents: object) -> Run:
    """Return a run without each query's own document, whose id is the query's.

    Args:
        run: a list for each query.
        queries: the queries.
        documents: the corpus, or what else finds rows of ids.
    """
    own = np.asarray(documents.rows(queries.ids), np.int64)  # type: ignore[attr-defined]
    keep = run.rows != own[run.owners]
    if keep.all():
        return run
    offsets = np.concatenate([[0], np.cumsum(np.bincount(run.owners[keep], minlength=len(run)))])
    return Run(offsets.astype(np.int64), run.rows[keep], run.scores[keep])
