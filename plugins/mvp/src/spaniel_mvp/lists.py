"""Short lists drawn of long ones, as training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spaniel import Corpus, UsageError
from spaniel_train.material import Material
from spaniel_train.protocols import Made
from spaniel_train.rows import Row, score_keys

from spaniel_mvp.config import SampledListsConfig

if TYPE_CHECKING:
    from spaniel import Context

_WHO = "sampled-lists"


class SampledLists:
    """Training lists of a collection: for each query, many of a few documents out of what a ranker finds.

    (Na et al., 2025: of each query's hundred passages, a hundred lists of five.) Rows hold the ranker's scores; a document
    that it did not find and that is judged relevant has the highest of them, plus one.
    """

    def __init__(self, config: SampledListsConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def units(self, material: Material) -> int:
        """Return the number of queries.

        Raises:
            UsageError: the material has no queries.
        """
        if material.corpus is None or material.queries is None:
            raise UsageError(f"{_WHO} works on a collection with queries, and {material.name} is none: choose a split")
        if self.config.positive == "judged":
            material.need_judgments(_WHO)
        return len(material.queries)

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Make the lists of some queries; each draws from a seed of its own."""
        assert material.corpus is not None  # `units` has looked
        assert material.queries is not None
        queries = material.queries.select(range(start, stop))
        run = self.context.run(self.config.ranker, queries, material.corpus).cut(self.config.depth)
        rows: list[Row] = []
        counts = {"queries": float(len(queries)), "queries without a list": 0.0, "lists": 0.0, "positives lifted": 0.0}
        for place in range(len(queries)):
            found, scores = run.of(place)
            known = dict(zip(found.tolist(), scores.tolist(), strict=True))
            judged = self._judged(material, queries.ids[place], material.corpus)
            made = list(self._rows(queries.texts[place], queries.ids[place], known, judged, material, counts))
            counts["queries without a list"] += not made
            counts["lists"] += len(made)
            rows += made
        return Made(rows, counts)

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return lists per query, and how often the relevant document was not the ranker's first of its list."""
        served = counts.get("queries", 0.0) - counts.get("queries without a list", 0.0)
        return {
            "lists per query": counts.get("lists", 0.0) / max(1.0, served),
            "share of lists whose positive was lifted": counts.get("positives lifted", 0.0)
            / max(1.0, counts.get("lists", 0.0)),
        }

    def _judged(self, material: Material, query: str, corpus: Corpus) -> list[int]:
        if self.config.positive == "teacher" or material.qrels is None:
            return []
        rows = corpus.rows(sorted(material.qrels.relevant(query)))
        return sorted(int(row) for row in rows if row >= 0)

    def _rows(
        self,
        query: str,
        name: str,
        known: Mapping[int, float],
        judged: list[int],
        material: Material,
        counts: dict[str, float],
    ) -> Iterator[Row]:
        others = [row for row in known if row not in set(judged)]
        need = self.config.size - (self.config.positive == "judged")
        if not query.strip() or len(others) < need or (self.config.positive == "judged" and not judged):
            return
        rng = self.context.rng(_WHO, name, query)
        best = max(known.values(), default=0.0) + 1
        for _ in range(self.config.lists):
            chosen = [others[at] for at in rng.choice(len(others), need, replace=False).tolist()]
            if judged:
                positive = judged[int(rng.integers(len(judged)))]
                counts["positives lifted"] += known.get(positive, best) <= max(known[row] for row in chosen)
            else:
                positive = max(chosen, key=lambda row: (known[row], -row))
                chosen.remove(positive)
            members = [positive, *chosen]
            assert material.corpus is not None
            texts = material.corpus.contents(members)
            if len(set(texts)) < len(texts):
                continue
            scores = [known.get(row, best) for row in members]
            yield Row(
                query,
                (texts[0],),
                tuple(texts[1:]),
                dict(zip(score_keys(query, texts), scores, strict=True)),
                provenance={"collection": material.name, "query": name, "documents": material.corpus.ids(members)},
            )
