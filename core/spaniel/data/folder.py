"""Test collections in folders, in BEIR layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spaniel.data.docstore import Located, corpus_need
from spaniel.data.faults import Faults, OnError
from spaniel.data.files import PACKED
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.data.readers import read_documents, read_qrels, read_queries
from spaniel.errors import UsageError
from spaniel.store import Need, Store, default_root

READER = "1"
"""Version of the reader; part of the recipe of every corpus that it reads."""
_RECORDS = (".jsonl", ".parquet", ".csv", ".tsv")
_JUDGMENTS = (".tsv", ".qrels", ".trec", ".txt")
_LAYOUT = "a collection has corpus.jsonl, queries.jsonl and qrels/<split>.tsv"


class FolderDataset:
    """A folder with ``corpus.jsonl`` (or several ``corpus*.jsonl``), ``queries.jsonl`` and ``qrels/<split>.tsv``.

    Every file may be compressed (.gz, .zst); corpus and queries may be CSV, TSV with a header, or Parquet instead. A
    folder without judgments has no splits.

    Args:
        path: the folder.
        on_error: ``"skip"`` counts and leaves out what is malformed.
        store: remembers the digests of the files; by default the user's own.

    Attributes:
        skipped: name of a file of queries or judgments → what was left out of it; that of the documents is in their
            artifact's info.

    Raises:
        UsageError: there is no such folder, or it is laid out otherwise.
    """

    def __init__(self, path: str | Path, on_error: OnError = "fail", store: Store | None = None) -> None:
        Faults(on_error)
        self.path = Path(path).expanduser()
        self.on_error: OnError = on_error
        self.name = self.path.resolve().name
        self.skipped: dict[str, Faults] = {}
        self._store = store
        if not self.path.is_dir():
            raise UsageError(f"there is no folder {self.path}; {_LAYOUT}")
        self._corpus = self._find(self.path, "corpus", _RECORDS, several=True)
        if not self._corpus:
            there = sorted(p.name for p in self.path.iterdir())
            listed = ", ".join(there[:8]) + (" …" if len(there) > 8 else "") if there else "nothing"
            raise UsageError(f"{self.path} holds {listed}; {_LAYOUT}")
        qrels = self.path / "qrels"
        found = self._find(qrels, "", _JUDGMENTS, several=True) if qrels.is_dir() else []
        self._qrels = {_stem(path, _JUDGMENTS): path for path in found}
        self.splits = tuple(self._qrels)

    def documents(self) -> Need:
        """The document store; identified by the digests of the corpus files.

        Raises:
            UsageError: a file cannot be read.
        """
        store = self._store or Store(default_root())
        inputs = {path.name: store.digest_of(path) for path in self._corpus}

        def read(faults: Faults) -> Iterator[Located]:
            for path in self._corpus:
                yield from read_documents(path, faults)
            for path in self._corpus:
                # What is built must be what its recipe says.
                if store.digest_of(path) != inputs[path.name]:
                    raise UsageError(f"{path} was changed while it was read; try again")

        return corpus_need(read, "spaniel/folder", inputs, {"reader": READER}, self.on_error)

    def queries(self, split: str | None = None) -> Queries:
        """The queries of a split, those with judgments; without a split, all.

        Raises:
            UsageError: there is no such split, no query file, or a query that is judged is not in it.
        """
        found = self._find(self.path, "queries", _RECORDS, several=False)
        if not found:
            raise UsageError(f"{self.path} has no queries.jsonl")
        faults = self.skipped[found[0].name] = Faults(self.on_error)
        queries = read_queries(found[0], faults)
        if not split:
            return queries
        judged = self.qrels(split)
        for name in sorted(judged.keys() - set(queries.ids)):
            faults.report(str(self._qrels[split]), f"judges the query {name!r}, which {found[0].name} does not have")
        return queries.select([position for position, name in enumerate(queries.ids) if name in judged])

    def qrels(self, split: str) -> Qrels:
        """The judgments of a split.

        Raises:
            UsageError: there is no such split.
        """
        if split not in self._qrels:
            raise UsageError(f"{self.path} has no split {split!r}; it has {', '.join(self.splits) or 'none'}")
        path = self._qrels[split]
        faults = self.skipped[path.name] = Faults(self.on_error)
        return read_qrels(path, faults)

    def _find(self, folder: Path, begin: str, endings: tuple[str, ...], several: bool) -> list[Path]:
        """Return the files of a role, and refuse two that hold the same: which of them counts would be chance."""
        found = {
            path: _stem(path, endings)
            for path in sorted(folder.iterdir())
            if path.is_file() and not path.name.startswith(".") and _stem(path, endings)
        }
        paths = [path for path, stem in found.items() if (stem.startswith(begin) if several else stem == begin)]
        first: dict[str, Path] = {}
        for path in paths:
            if path != first.setdefault(found[path], path):
                raise UsageError(
                    f"{folder} has both {first[found[path]].name} and {path.name}; leave one of them there"
                )
        return paths


def _stem(path: Path, endings: tuple[str, ...]) -> str:
    """Return a file's name without its ending and packing, or nothing where it ends otherwise."""
    name = path.name
    for packing in PACKED:
        name = name.removesuffix(packing)
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), "")
