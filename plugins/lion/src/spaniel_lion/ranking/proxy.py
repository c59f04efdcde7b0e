"""The proxy of programs that score documents: how well they rank the judged queries of a collection."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, cast

import numpy as np
from spaniel import Context, Qrels, Queries, Stage, UsageError
from spaniel.collections import choose_split, find_dataset
from spaniel.indexing import open_index
from spaniel.protocols import SearchSpace
from spaniel.store import digest_bytes
from spaniel_train.material import Material, collection_material

from spaniel_lion.config import JudgmentsConfig, Part
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import RANKING
from spaniel_lion.ranking.counts import CountsIndex
from spaniel_lion.ranking.judged import Judged

_SHARES: dict[Part, tuple[int, ...]] = {"training": (0, 1, 2), "validation": (3,), "held-out": (4,)}
"""Fifths of the queries in each part."""


class Judgments:
    """nDCG or average precision over one part of a collection's judged queries.

    The seed draws the parts; what a search is told of one says nothing of the others.
    """

    direction: Literal["maximise", "minimise"] = "maximise"

    def __init__(self, config: JudgmentsConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self._parts: dict[tuple[int, Part], Judged] = {}

    @cached_property
    def material(self) -> Material:
        """The collection."""
        dataset = find_dataset(self.context, self.config.collection)
        return collection_material(self.context, self.config.collection, choose_split(dataset, self.config.split))

    @property
    def data(self) -> str:
        """Digest of the collection."""
        return self.material.digest

    def score(self, space: SearchSpace, candidate: object, seed: int) -> float:
        """Return the measure of a program on the part of the options.

        Raises:
            UsageError: the candidate is no program that scores documents.
        """
        # Candidates of other spaces may be costly to build.
        rule = space.build(candidate, seed) if isinstance(candidate, str) else None
        if not isinstance(rule, Rule):
            raise UsageError(f"this proxy ranks by programs, and {type(space).__name__} is no space of them")
        return self.measure(rule, seed, self.config.part)

    def held_out(self, rule: Rule, seed: int) -> float:
        """Return the measure on the queries that are held out."""
        return self.measure(rule, seed, "held-out")

    def measure(self, rule: Rule, seed: int, part: Part) -> float:
        """Return the measure on a part of the queries.

        Raises:
            UsageError: the program scores no documents, or the part has no queries.
        """
        if rule.signature != RANKING:
            raise UsageError("this proxy ranks by programs that score documents; give --space ranking-programs")
        if (seed, part) not in self._parts:
            self._parts[seed, part] = self._judged(seed, part)
        return self._parts[seed, part].measure(rule, self.config.measure, self.config.depth)

    def _judged(self, seed: int, part: Part) -> Judged:
        corpus, queries, qrels = self.material.need_judgments("judgments")
        kept = set(part_of(queries, qrels, seed, part))
        chosen = [at for at, name in enumerate(queries.ids) if name in kept]
        if not chosen:
            raise UsageError(f"{self.material.name} has too few judged queries for a part {part}")
        indexer = Stage("spaniel-lion/ranked", analyzer=self.config.analyzer)
        index = cast(CountsIndex, open_index(self.context, indexer, corpus.need))
        grades, relevant = [], []
        for at in chosen:
            judged = qrels[queries.ids[at]]
            # What the corpus lacks has no row; it counts as what is never found.
            rows = [row if row >= 0 else -1 - n for n, row in enumerate(corpus.rows(list(judged)).tolist())]
            known = qrels.relevant(queries.ids[at])
            grades.append(dict(zip(rows, judged.values(), strict=True)))
            relevant.append(frozenset(row for row, name in zip(rows, judged, strict=True) if name in known))
        own = np.full(len(chosen), -1, np.int64)
        if self.material.own_left_out:
            own = corpus.rows([queries.ids[at] for at in chosen]).astype(np.int64)
        return Judged(index.counts([queries.texts[at] for at in chosen]), grades, relevant, own)


def part_of(queries: Queries, qrels: Qrels, seed: int, part: Part) -> list[str]:
    """Return the queries of a part: those with a relevant document are dealt out, so that parts are as equal as can be."""

    def draw(name: str) -> str:
        return digest_bytes(f"{seed} {name}".encode())

    names = sorted((name for name in queries.ids if qrels.relevant(name)), key=draw)
    return [name for at, name in enumerate(names) if at % 5 in _SHARES[part]]
