"""Collections in folders: in BEIR's layout, of TREC's files, or of ordinary files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaniel.data.docstore import Located, corpus_need
from spaniel.data.faults import Faults, OnError
from spaniel.data.files import digests_of
from spaniel.data.judging import Judging, read_judging
from spaniel.data.layout import find_layout, has_judgments
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.data.readers import read_documents, read_qrels, read_queries
from spaniel.data.texts import FilesDataset
from spaniel.errors import UsageError
from spaniel.store import Need, Store, canonical_json, default_root, digest_bytes

if TYPE_CHECKING:
    from spaniel.context import Context

READER = "2"
"""Version of the reader; part of the recipe of every corpus that it reads."""
_LAYOUT = "a collection has corpus.jsonl, queries.jsonl and qrels/<split>.tsv, or TREC's files"
_NAMED = 100
"""Files that a recipe names one by one."""


def open_folder(
    path: str | Path, on_error: OnError = "fail", store: Store | None = None, context: Context | None = None
) -> FolderDataset | FilesDataset:
    """Return the collection that a folder or a file is: with queries and judgments, or ordinary files to search.

    Raises:
        UsageError: there is nothing there, or it is no collection.
    """
    place = Path(path).expanduser()
    if find_layout(place) is not None or has_judgments(place):
        return FolderDataset(place, on_error, store, context=context)
    Faults(on_error)
    return FilesDataset(place, store, context=context)


class FolderDataset:
    """A folder with documents, queries and judgments, in BEIR's layout or of TREC's files; or a file of documents.

    BEIR's are ``corpus.jsonl`` (or several ``corpus*.jsonl``), ``queries.jsonl`` and ``qrels/<split>.tsv``; corpus and
    queries may be CSV, TSV with a header, or Parquet instead. TREC's are files of documents in ``<DOC>`` tags, also under
    ``docs/`` or ``documents/``, topics (``topics*`` or ``queries*``) and judgments (``qrels*``, ``*.qrels``). Judgments
    may also be CSV, JSON or Parquet. Every file may be compressed (.gz, .zst). A folder without judgments has no splits.

    Args:
        path: the folder, or the file.
        on_error: ``"skip"`` counts and leaves out what is malformed.
        store: remembers the digests of the files; by default the user's own.
        judging: what is relevant, and whether a query's own document counts; by default what ``spaniel.json`` in the
            folder says.
        context: the session whose observers are told how far the files are looked through; by default nobody is.

    Attributes:
        skipped: name of a file of queries or judgments → what was left out of it; that of the documents is in their
            artifact's info.
        unread: name of a file → why it is not read, though it looks like queries or judgments.

    Raises:
        UsageError: there is no such folder, or it is laid out otherwise.
    """

    def __init__(
        self,
        path: str | Path,
        on_error: OnError = "fail",
        store: Store | None = None,
        judging: Judging | None = None,
        context: Context | None = None,
    ) -> None:
        Faults(on_error)
        self.path = Path(path).expanduser()
        self.on_error: OnError = on_error
        self.judging = judging if judging is not None else read_judging(self.path)
        self.name = self.path.resolve().name
        self.skipped: dict[str, Faults] = {}
        self._store = store
        self._context = context
        if not self.path.exists():
            raise UsageError(f"there is no folder {self.path}; {_LAYOUT}")
        found = find_layout(self.path)
        if found is None:
            there = sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else ["no documents with ids"]
            listed = ", ".join(there[:8]) + (" …" if len(there) > 8 else "") if there else "nothing"
            raise UsageError(f"{self.path} holds {listed}; {_LAYOUT}")
        self._files = found
        self.unread = found.unread
        self.splits = tuple(found.qrels)

    def documents(self) -> Need:
        """The document store; identified by the digests of the files of documents.

        Raises:
            UsageError: a file cannot be read.
        """
        store = self._store or Store(default_root())
        files = self._files.documents
        around = self.path if self.path.is_dir() else self.path.parent
        digests = dict(zip(files, map(_found, files, digests_of([*files], store, self._context)), strict=True))
        inputs = {path.relative_to(around).as_posix(): digest for path, digest in digests.items()}
        if len(inputs) > _NAMED:
            inputs = {"files": digest_bytes(canonical_json(sorted(inputs.items())))}

        def read(faults: Faults) -> Iterator[Located]:
            for path, format in files.items():
                yield from read_documents(path, faults, format)
            for path, digest in digests.items():
                # What is built must be what its recipe says.
                if store.digest_of(path) != digest:
                    raise UsageError(f"{path} was changed while it was read; try again")

        return corpus_need(read, "spaniel/folder", inputs, {"reader": READER}, self.on_error)

    def queries(self, split: str | None = None) -> Queries:
        """The queries of a split, those with judgments; without a split, all.

        Raises:
            UsageError: there is no such split, no query file, or a query that is judged is not in it.
        """
        files = self._files.queries
        if not files:
            raise UsageError(f"{self.path} has no queries.jsonl, and no topics")
        parts = {}
        for path, format in files.items():
            faults = self.skipped[path.name] = Faults(self.on_error)
            parts[path] = read_queries(path, faults, format)
        queries = next(iter(parts.values())) if len(parts) == 1 else _joined(parts, faults)
        if not split:
            return queries
        judged = self.qrels(split)
        names = ", ".join(path.name for path in files)
        for name in sorted(judged.keys() - set(queries.ids)):
            faults.report(str(self._files.qrels[split]), f"judges the query {name!r}, which {names} does not have")
        return queries.select([position for position, name in enumerate(queries.ids) if name in judged])

    def qrels(self, split: str) -> Qrels:
        """The judgments of a split.

        Raises:
            UsageError: there is no such split.
        """
        qrels = self._files.qrels
        if split not in qrels:
            raise UsageError(f"{self.path} has no split {split!r}; it has {', '.join(self.splits) or 'none'}")
        faults = self.skipped[qrels[split].name] = Faults(self.on_error)
        return read_qrels(qrels[split], faults).with_level(self.judging.rel)


def _found(path: Path, digest: str | OSError) -> str:
    if isinstance(digest, OSError):
        raise UsageError(f"{path} cannot be read: {digest.strerror or digest}") from digest
    return digest


def _joined(parts: dict[Path, Queries], faults: Faults) -> Queries:
    """Return the queries of several files, such as of several splits; one that is in two of them counts once."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for path, part in parts.items():
        for name, text, more in zip(part.ids, part.texts, part.metadata or ({},) * len(part), strict=True):
            if found.setdefault(name, (text, more))[0] != text:
                faults.report(str(path), f"the query id {name!r} comes twice, with two texts", duplicate=True)
    texts, metadata = [text for text, _ in found.values()], [more for _, more in found.values()]
    return Queries.from_lists(list(found), texts, metadata if any(metadata) else None)
