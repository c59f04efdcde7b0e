"""Test collections in folders, in BEIR layout; and writing them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from spaniel.data.corpus import Located, corpus_need
from spaniel.data.document import Document
from spaniel.data.faults import OnError
from spaniel.data.files import write_text
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.data.readers import read_documents, read_qrels, read_queries
from spaniel.errors import UsageError
from spaniel.store import Need, Store, default_root

_ENDINGS = tuple(form + packed for form in (".jsonl", ".parquet", ".csv", ".tsv") for packed in ("", ".gz", ".zst"))
VERSION = "1"


class FolderDataset:
    """A folder with ``corpus.jsonl`` (or several ``corpus*.jsonl``), ``queries.jsonl`` and ``qrels/<split>.tsv``.

    Every file may be compressed (.gz, .zst); corpus and queries may be CSV, TSV with a header, or Parquet instead.

    Args:
        path: the folder.
        on_error: ``"skip"`` counts and leaves out what is malformed.

    Raises:
        UsageError: there is no such folder, or it is laid out otherwise.
    """

    def __init__(self, path: str | Path, on_error: OnError = "fail") -> None:
        self.path = Path(path).expanduser()
        self.on_error: OnError = on_error
        self.name = self.path.resolve().name
        if not self.path.is_dir():
            raise UsageError(f"there is no folder {self.path}")
        self._corpus = sorted(
            p for p in self.path.iterdir() if p.name.startswith("corpus") and p.name.endswith(_ENDINGS) and p.is_file()
        )
        if not self._corpus:
            there = ", ".join(sorted(p.name for p in self.path.iterdir())[:8]) or "nothing"
            raise UsageError(
                f"{self.path} holds {there}; a collection has corpus.jsonl, queries.jsonl and qrels/<split>.tsv"
            )
        qrels = self.path / "qrels"
        self._qrels = {p.name.partition(".")[0]: p for p in sorted(qrels.iterdir())} if qrels.is_dir() else {}
        self.splits = tuple(self._qrels)

    def documents(self) -> Need:
        """The document store; identified by the digests of the corpus files."""
        known = Store(default_root())
        inputs = {path.name: known.digest_of(path) for path in self._corpus}
        return corpus_need(self._read, "spaniel/folder", inputs, on_error=self.on_error, version=VERSION)

    def _read(self) -> Iterator[Located]:
        for path in self._corpus:
            yield from read_documents(path, self.on_error)

    def queries(self, split: str) -> Queries:
        """The queries of a split, those with judgments; without a split, all.

        Raises:
            UsageError: there is no such split, or no query file.
        """
        found = [p for p in sorted(self.path.iterdir()) if p.name.startswith("queries") and p.name.endswith(_ENDINGS)]
        if not found:
            raise UsageError(f"{self.path} has no queries.jsonl")
        queries = read_queries(found[0], self.on_error)
        if not split:
            return queries
        judged = self.qrels(split)
        missing = sorted(judged.keys() - set(queries.ids))
        if missing and self.on_error == "fail":
            raise UsageError(f"{self._qrels[split]} judges the query {missing[0]!r}, which {found[0].name} does not have")
        return queries.select([i for i, name in enumerate(queries.ids) if name in judged])

    def qrels(self, split: str) -> Qrels:
        """The judgments of a split.

        Raises:
            UsageError: there is no such split.
        """
        if split not in self._qrels:
            raise UsageError(f"{self.path} has no split {split!r}; it has {', '.join(self.splits) or 'none'}")
        return read_qrels(self._qrels[split], self.on_error)


def write_folder(
    path: Path, documents: Iterable[Document], queries: Queries | None, qrels: Mapping[str, Qrels]
) -> None:
    """Write a collection as a folder in BEIR layout.

    Raises:
        UsageError: the folder is there already and not empty.
    """
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is there already and not empty; nothing is overwritten")
    path.mkdir(parents=True, exist_ok=True)
    with write_text(path / "corpus.jsonl") as file:
        for document in documents:
            fields = {"_id": document.id, "title": document.title, "text": document.text}
            if document.metadata:
                fields["metadata"] = dict(document.metadata)  # type: ignore[assignment]
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")
    if queries is not None:
        with write_text(path / "queries.jsonl") as file:
            for position, (name, text) in enumerate(zip(queries.ids, queries.texts, strict=True)):
                metadata = {"metadata": dict(queries.metadata[position])} if queries.metadata else {}
                file.write(json.dumps({"_id": name, "text": text, **metadata}, ensure_ascii=False) + "\n")
    for split, judged in qrels.items():
        (path / "qrels").mkdir(exist_ok=True)
        write_qrels(path / "qrels" / f"{split}.tsv", judged)


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write judgments as BEIR's three columns."""
    with write_text(path) as file:
        file.write("query-id\tcorpus-id\tscore\n")
        for query, judged in qrels.items():
            for document, grade in judged.items():
                file.write(f"{query}\t{document}\t{grade}\n")
