"""Which stage moved a document from where to where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel import Contribution, Corpus, Explanation, Run
from spaniel.explain import flows_of, places
from spaniel.explanation import Place
from spaniel.pipeline import Pipeline

if TYPE_CHECKING:
    from spaniel import Context


class StageMoves:
    """The rank at the end is the rank in the first list plus what each later stage moves it by; below 0 is upwards.

    A document that a stage drops keeps its rank; one that the first list lacks has the rank behind its last one.
    """

    exact = True

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(self, target: Pipeline, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the ranks of documents for a query."""
        return self.explain_behind(target, query, rows, corpus, None)

    def explain_behind(
        self, target: Pipeline, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain them where the pipeline works on an earlier run."""
        if not len(rows):
            return []
        flows = flows_of(self.context, target, query, corpus, run)
        made = []
        for row, name in zip(rows, corpus.ids(rows), strict=True):
            stages = places(target, flows, row)
            lists = [place for place in stages if not place.note]
            ranks = _ranks(lists)
            parts = tuple(
                Contribution(place.stage, float(rank - before), "stage", note=_note(place, earlier))
                for place, rank, before, earlier in zip(
                    lists, ranks, [0, *ranks[:-1]], [None, *lists[:-1]], strict=True
                )
            )
            made.append(
                Explanation(
                    str(target.expression),
                    "stage-moves",
                    query,
                    name,
                    float(ranks[-1]),
                    parts,
                    unit="rank",
                    stages=stages,
                )
            )
        return made


def _ranks(stages: Sequence[Place]) -> list[int]:
    ranks: list[int] = []
    for place in stages:
        ranks.append(place.rank or (ranks[-1] if ranks else place.documents + 1))
    return ranks


def _note(place: Place, earlier: Place | None) -> str:
    if earlier is None:
        return place.words
    if not place.rank:
        return "dropped" if earlier.rank else "not in the list"
    before = str(earlier.rank) if earlier.rank else "none"
    return f"rank {before} → {place.rank} of {place.documents}, score {earlier.score:.4f} → {place.score:.4f}"
