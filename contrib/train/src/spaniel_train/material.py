"""What synthesizers work on: a collection, or training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spaniel import Context, Corpus, Qrels, Queries, UsageError
from spaniel.collections import choose_split, find_dataset
from spaniel.data import Judging
from spaniel.indexing import open_corpus

from spaniel_train.rows import Row


@dataclass(frozen=True, eq=False)
class Material:
    """A collection, or training rows; what is not there is ``None``.

    Attributes:
        name: for readers.
        digest: of all of it.
        corpus: the documents.
        queries: those of a split, with ``qrels``.
        qrels: their judgments.
        rows: training rows.
        own_left_out: whether each query's own document, which has its id, counts for nothing.
    """

    name: str
    digest: str
    corpus: Corpus | None = None
    queries: Queries | None = None
    qrels: Qrels | None = None
    rows: Sequence[Row] | None = None
    own_left_out: bool = False

    def need_judgments(self, who: str) -> tuple[Corpus, Queries, Qrels]:
        """Return corpus, queries and judgments.

        Raises:
            UsageError: there are none.
        """
        if self.corpus is None or self.queries is None or self.qrels is None:
            raise UsageError(
                f"{who} works on a collection with judgments, and {self.name} is none: choose a split of one"
            )
        return self.corpus, self.queries, self.qrels

    def need_corpus(self, who: str) -> Corpus:
        """Return the documents.

        Raises:
            UsageError: there are none.
        """
        if self.corpus is None:
            raise UsageError(f"{who} works on a collection, and {self.name} is a file of rows")
        return self.corpus

    def need_rows(self, who: str) -> Sequence[Row]:
        """Return the rows.

        Raises:
            UsageError: there are none.
        """
        if self.rows is None:
            raise UsageError(f"{who} works on a file of training rows (*.jsonl), and {self.name} is a collection")
        return self.rows


def collection_material(context: Context, name: str, split: str | None) -> Material:
    """Open a collection, and a split of it where one is named.

    Raises:
        UsageError: there is no such collection or split.
    """
    dataset = find_dataset(context, name)
    corpus = open_corpus(context, dataset.documents())
    if split is None:
        return Material(dataset.name, corpus.digest, corpus)
    chosen = choose_split(dataset, split)
    queries, qrels = dataset.queries(chosen), dataset.qrels(chosen)
    own = getattr(dataset, "judging", Judging()).leave_out_own
    qrels = qrels.without_own() if own else qrels
    digest = f"{corpus.digest} {queries.digest} {qrels.digest}" + " without own" * own
    return Material(f"{dataset.name} {chosen}", digest, corpus, queries, qrels, own_left_out=own)


def judged_row(material: Material, position: int) -> Row | None:
    """Return the row of a query and the texts that are judged relevant; ``None`` where the corpus has none of them."""
    corpus, queries, qrels = material.need_judgments("a row of judgments")
    name = queries.ids[position]
    found = corpus.rows(sorted(qrels.relevant(name)))
    kept = found[found >= 0]
    if not len(kept) or not queries.texts[position].strip():
        return None
    positives = tuple(dict.fromkeys(corpus.contents(kept)))
    metadata = queries.metadata[position] if queries.metadata is not None else {}
    instruction, domain = (str(metadata.get(field) or "") for field in ("instruction", "domain"))
    source = {"collection": material.name, "query": name, "documents": corpus.ids(kept)}
    return Row(queries.texts[position], positives, instruction=instruction, domain=domain, provenance=source)
