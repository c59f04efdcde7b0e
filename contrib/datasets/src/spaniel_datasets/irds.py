"""Every collection that ir_datasets knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spaniel import Document, Qrels, Queries, UsageError
from spaniel.data import documents_need
from spaniel.store import Need

from spaniel_datasets.config import IrDatasets as Options

if TYPE_CHECKING:
    from spaniel import Context


def dataset(config: Options, context: Context) -> IrDatasets:
    """Return the collection."""
    return IrDatasets(config.name)


class IrDatasets:
    """A collection of ir_datasets; its split is the last part of its id, or ``test``."""

    def __init__(self, name: str) -> None:
        try:
            import ir_datasets
        except ImportError:
            raise UsageError('collections of ir_datasets need it: pip install "spaniel-datasets[irds]"') from None
        try:
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

    def _documents(self) -> Iterator[Document]:
        for doc in self._source.docs_iter():
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
        judged = {q.query_id for q in self._source.qrels_iter()} if self._source.has_qrels() else None
        kept = [q for q in self._source.queries_iter() if judged is None or q.query_id in judged]
        return Queries.from_lists([str(q.query_id) for q in kept], [str(q.default_text()) for q in kept])

    def qrels(self, split: str) -> Qrels:
        """The judgments."""
        grades: dict[str, dict[str, int]] = {}
        for qrel in self._source.qrels_iter():
            grades.setdefault(str(qrel.query_id), {})[str(qrel.doc_id)] = int(qrel.relevance)
        return Qrels(grades)
