"""Every collection that ir_datasets knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spaniel import Document, Qrels, Queries, UsageError
from spaniel.data import Judging, documents_need
from spaniel.store import Need

from spaniel_datasets.config import IrDatasets as Options
from spaniel_datasets.offline import network

if TYPE_CHECKING:
    from spaniel import Context


def dataset(config: Options, context: Context) -> IrDatasets:
    """Return the collection."""
    own = bool(_WITHOUT_OWN.fullmatch(config.name))
    return IrDatasets(config.name, Judging(leave_out_own=own).but(config.rel, config.leave_out_own), context.offline)


_WITHOUT_OWN = re.compile(r"(?:nano-)?beir/(?:arguana|quora)(?:/.*)?")
"""Collections whose published figures are made without the document that has the query's id."""


class IrDatasets:
    """A collection of ir_datasets; its split is the last part of its id, or ``test``."""

    def __init__(self, name: str, judging: Judging, offline: bool = False) -> None:
        self.judging = judging
        self._offline = offline
        try:
            import ir_datasets
        except ImportError:
            raise UsageError('collections of ir_datasets need it: pip install "spaniel-datasets[irds]"') from None
        try:
            with network(not offline, f"irds:{name}"):
                self._source: Any = ir_datasets.load(name)
        except KeyError:
            raise UsageError(
                f"ir_datasets knows no collection {name!r}; its catalogue is at https://ir-datasets.com"
            ) from None
        self.name = f"irds:{name}"
        self._version = ir_datasets.__version__
        self._id = name
        last = name.rpartition("/")[2]
        has = self._source.has_queries() and self._source.has_qrels()
        self.splits = ((last if last in ("train", "dev", "test") else "test"),) if has else ()

    def documents(self) -> Need:
        """The documents, with every further field that is text or a number as metadata."""
        if not self._source.has_docs():
            raise UsageError(f"{self.name} has no documents; name the collection that has them")
        return documents_need(
            self._documents, "spaniel-datasets/irds", {"collection": self._id, "ir_datasets": self._version}
        )

    def _read(self, what: str) -> Iterator[Any]:
        with network(not self._offline, self.name):
            yield from getattr(self._source, what)()

    def _documents(self) -> Iterator[Document]:
        for doc in self._read("docs_iter"):
            fields = doc._asdict()
            title = str(fields.pop("title", "") or "")
            name = str(fields.pop("doc_id"))
            text = fields.pop("text", None)
            if text is None:
                text, title = doc.default_text(), ""
            extra = {key: value for key, value in fields.items() if isinstance(value, str | int | float)}
            yield Document(name, title, str(text), extra)

    def queries(self, split: str) -> Queries:
        """The queries: those with judgments, where there are judgments."""
        judged = {q.query_id for q in self._read("qrels_iter")} if self._source.has_qrels() else None
        kept = [q for q in self._read("queries_iter") if judged is None or q.query_id in judged]
        return Queries.from_lists([str(q.query_id) for q in kept], [str(q.default_text()) for q in kept])

    def qrels(self, split: str) -> Qrels:
        """The judgments, those of subtopics among them; what is judged twice for one has its highest grade."""
        grades: dict[str, dict[str, dict[str, float]]] = {}
        for qrel in self._read("qrels_iter"):
            subtopic = str(getattr(qrel, "subtopic_id", getattr(qrel, "iteration", "")))
            judged = grades.setdefault(str(qrel.query_id), {}).setdefault(subtopic, {})
            grade = float(qrel.relevance)
            judged[str(qrel.doc_id)] = max(grade, judged.get(str(qrel.doc_id), grade))
        return Qrels.from_subtopics(grades, self.judging.rel)
