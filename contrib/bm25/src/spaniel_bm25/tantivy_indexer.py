"""A living index by tantivy: documents are added and deleted, phrases are found, rows are filtered."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Corpus, Run, UsageError
from spaniel.contents import noted

from spaniel_bm25 import tantivy_engine as engine
from spaniel_bm25.config import TantivyIndex
from spaniel_bm25.lexical import Weighted
from spaniel_bm25.phrases import clauses_of

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft
    from spaniel_text.protocol import Analyzer

BATCH = 5000
"""Documents analyzed at once."""
PART = 50_000
"""Documents that the engine writes before the draft takes note of them: what is lost at most where a build is killed."""
_FOLDER = "tantivy"
_SEGMENTS = "meta.json"
_OWN = (".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock")
"""Files that the engine makes for itself wherever it works."""


class TantivyIndexer:
    """Texts → tokens by the analyzer → an index of tantivy's, whose scores are its BM25 (k1 = 1.2, b = 0.75)."""

    can_add = True
    can_delete = True
    can_filter = True
    recall = 1.0

    def __init__(self, config: TantivyIndex, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def analyzer(self) -> Analyzer:
        analyzer: Analyzer = self.context.create("analyzer", self.config.analyzer)
        return analyzer

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides tokens and scores."""
        try:
            return {"analyzer": dict(self.analyzer.fingerprint()), "tantivy": version("tantivy")}
        except PackageNotFoundError:
            engine.engine()
            raise

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of a corpus; a build that was killed goes on from the last part that the engine had written.

        Raises:
            UsageError: the source is no corpus, or the engine is missing.
        """
        if not isinstance(source, Corpus):
            raise UsageError(f"tantivy indexes a corpus, not {type(source).__name__}")
        index = _resumed(self.analyzer, draft)
        advance = draft.progress(len(source), "documents")
        advance(len(index))
        for start in range(len(index), len(source), PART):
            rows = range(start, min(start + PART, len(source)))
            index.take_in(source, rows, list(rows), advance)
            index.save(draft)
            draft.finish(f"documents to {rows.stop}")
        index.save(draft)

    def check(self, artifact: Artifact) -> None:
        """Refuse it: the engine's files cannot be looked through, and whatever they say is what it finds.

        Raises:
            ArtifactError: always.
        """
        raise ArtifactError(
            artifact.path / _FOLDER,
            "was not built in this store, and its engine has no way to look through it: build it here from the corpus, "
            "which can be imported, or import it with --trust if you know who made it",
        )

    def open(self, artifact: Artifact) -> LivingIndex:
        """Open an index; the artifact stays as it is whatever becomes of what is opened.

        Raises:
            ArtifactError: it holds none.
        """
        files = [artifact.file(name) for name in artifact.files if name.startswith(f"{_FOLDER}/")]
        try:
            index = LivingIndex(self.analyzer, files)
            count = len(index)
        except (MemoryError, KeyboardInterrupt, SystemExit, UsageError):
            raise
        except BaseException as error:  # whatever the engine makes of damaged bytes; its panics are no `Exception`
            raise ArtifactError(
                artifact.path, f"holds no index of tantivy's ({error}); remove it and build it again"
            ) from error
        noted(artifact, "documents", count, count)
        return index


class LivingIndex:
    """An opened index, in a folder of its own that links to the files it was opened from and goes with the object.

    Args:
        analyzer: turns texts into tokens.
        files: of an index; none to begin one.
    """

    def __init__(self, analyzer: Analyzer, files: Sequence[Path] = ()) -> None:
        self.analyzer = analyzer
        self._folder = Path(tempfile.mkdtemp(prefix="spaniel-tantivy-"))
        weakref.finalize(self, _remove, self._folder, os.getpid())
        for path in files:
            # The engine replaces its list of segments, and never changes a segment.
            (self._folder / path.name).symlink_to(path.absolute())
        self._index = engine.open_folder(self._folder, create=not files)
        self._deleted = False

    @cached_property
    def _searcher(self) -> Any:
        self._index.reload()
        return self._index.searcher()

    @cached_property
    def _rows(self) -> set[int]:
        return set(engine.all_rows(self._index, self._searcher).tolist())

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def search(
        self, queries: Sequence[str] | Any, k: int, allowed: NDArray[np.bool_] | None = None, phrases: bool = False
    ) -> Run:
        """Return the ``k`` best documents of each query that hold at least one of its terms.

        Args:
            queries: texts; nothing in them is read as the engine's query language.
            k: how many.
            allowed: ``(n,)`` which rows may be found; those past its end may not.
            phrases: whether what stands in double quotes must occur, as a phrase.
        """
        return self.search_clauses([clauses_of(self.analyzer, text, phrases) for text in queries], k, allowed)

    def search_clauses(
        self, asked: Sequence[Sequence[engine.Clause]], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> Run:
        """Return the ``k`` best documents of queries that are made of clauses."""
        few = None
        if allowed is not None and np.count_nonzero(allowed) <= engine.SMALL_MASK:
            few = np.flatnonzero(allowed)
        found = []
        for clauses in asked:
            if not clauses or not k or not len(self) or (few is not None and not len(few)):
                found.append((np.empty(0, np.int64), np.empty(0, np.float32)))
                continue
            query = engine.make_query(self._index, clauses)
            if few is None:
                found.append(engine.best(self._searcher, query, k, allowed))
            else:
                found.append(engine.best(self._searcher, engine.among(self._index, query, few), k))
        offsets = np.cumsum([0, *(len(rows) for rows, _ in found)])
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in found)])
        return Run.build(offsets, rows, np.concatenate([np.empty(0, np.float32), *(scores for _, scores in found)]))

    def search_weighted(self, queries: Weighted, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best documents of queries of tokens, each token's score multiplied by its weight."""
        pairs = list(zip(queries.tokens, queries.weights.tolist(), strict=True))
        bounds = zip(queries.offsets[:-1], queries.offsets[1:], strict=True)
        asked = [[engine.Clause((token,), weight) for token, weight in pairs[begin:end]] for begin, end in bounds]
        return self.search_clauses(asked, k, allowed)

    def clause_scores(self, clauses: Sequence[engine.Clause], rows: Sequence[int]) -> NDArray[np.float64]:
        """Return what each clause adds to the score of each document: ``(clauses, rows)``; nothing else is looked at."""
        scores = np.zeros((len(clauses), len(rows)))
        if not len(rows):
            return scores
        allowed = np.zeros(max(rows) + 1, bool)
        allowed[list(rows)] = True
        columns = {int(row): column for column, row in enumerate(rows)}
        found = self.search_clauses([[clause] for clause in clauses], len(columns), allowed)
        for owner, row, score in zip(found.owners.tolist(), found.rows.tolist(), found.scores.tolist(), strict=True):
            scores[owner, columns[row]] = score
        return scores

    def term_scores(self, tokens: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        """Return what each token adds to the score of each document: ``(tokens, rows)``."""
        return self.clause_scores([engine.Clause((token,)) for token in tokens], rows)

    def document_frequencies(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """Return how many documents hold each token."""
        counts = (self._searcher.doc_freq("tokens", token) for token in tokens)
        return np.fromiter(counts, np.int64, len(tokens))

    # Changes

    def add(self, source: Any, rows: NDArray[Any], advance: Any = None) -> None:
        """Take in the documents of a corpus under ``rows``.

        Raises:
            UsageError: the source is no corpus, or a row is held already, comes twice or is out of range.
        """
        if not isinstance(source, Corpus):
            raise UsageError(f"tantivy indexes a corpus, not {type(source).__name__}")
        given = _checked(rows, len(source))
        held = self._rows.intersection(given)
        if held:
            raise UsageError(f"row {min(held)} is held already; delete it first")
        self.take_in(source, range(len(source)), given, advance)

    def take_in(self, source: Corpus, places: range, rows: Sequence[int], advance: Any = None) -> None:
        """Take in the documents at consecutive places of a corpus, under rows that are not held."""
        with self._writer() as writer:
            for start in range(places.start, places.stop, BATCH):
                batch = next(source.batches(min(BATCH, places.stop - start), start))
                tokens = self.analyzer.analyze([document.contents for document in batch.documents]).lists()
                for row, words in zip(rows[start - places.start :], tokens, strict=False):
                    self._write(writer, row, engine.SEPARATOR.join(words))
                if advance is not None:
                    advance(len(batch.documents))
        self._rows.update(rows)

    def delete(self, rows: NDArray[Any]) -> None:
        """Let documents go.

        Raises:
            UsageError: a row is not held, or comes twice.
        """
        given = _checked(rows, len(np.asarray(rows)))
        lacking = set(given) - self._rows
        if lacking:
            raise UsageError(f"row {min(lacking)} is not held, and cannot be deleted")
        with self._writer() as writer:
            for row in given:
                writer.delete_documents_by_term("row", row)
        self._rows.difference_update(given)
        self._deleted = self._deleted or bool(given)

    def save(self, draft: Draft) -> None:
        """Write the index as it is now.

        Where documents were deleted it is written anew from the tokens that it stores, so that neither their words nor
        their part in the statistics of the collection are left; else its files are linked or copied.
        """
        if self._deleted:
            whole = LivingIndex(self.analyzer)
            with whole._writer() as writer:
                for row, tokens in self._stored():
                    self._write(writer, row, tokens)
            whole.save(draft)
            return
        # The list of segments comes last: what it names is there.
        held = [path for path in self._folder.iterdir() if path.name not in _OWN]
        for path in sorted(held, key=lambda path: (path.name == _SEGMENTS, path.name)):
            _keep(path.resolve(), draft.file(f"{_FOLDER}/{path.name}"))
        for path in (draft.path / _FOLDER).iterdir():
            if not (self._folder / path.name).exists():
                path.unlink()
        draft.info["documents"] = len(self)

    def _stored(self) -> Iterator[tuple[int, str]]:
        rows = np.array(sorted(self._rows), np.int64)
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            query = engine.among(self._index, engine.engine().Query.all_query(), part)
            hits = [place for _, place in self._searcher.search(query, len(part), count=False).hits]
            found = dict(zip(self._searcher.fast_field_values("row", hits), hits, strict=True))
            for row in part.tolist():
                yield row, self._searcher.doc(found[row]).get_first("tokens") or ""

    def _write(self, writer: Any, row: int, tokens: str) -> None:
        writer.add_document(engine.engine().Document(row=row, tokens=tokens))

    @contextmanager
    def _writer(self) -> Iterator[Any]:
        """Yield what changes the index; the change is made whole, or not at all."""
        # One thread, so that segments and the order in them are the same each time.
        writer = self._index.writer(engine.HEAP, 1)
        try:
            yield writer
            writer.commit()
        except BaseException:
            writer.rollback()
            raise
        finally:
            writer.wait_merging_threads()
            self.__dict__.pop("_searcher", None)


def _checked(rows: Iterable[Any], size: int) -> list[int]:
    given = [int(row) for row in np.asarray(rows).tolist()]
    if len(given) != size:
        raise UsageError(f"{len(given)} rows for {size} documents")
    if len(set(given)) < len(given):
        raise UsageError("a row comes twice")
    if given and not 0 <= min(given) <= max(given) < 2**31:
        raise UsageError(f"rows are from 0 to {2**31 - 1}, not from {min(given)} to {max(given)}")
    return given


def _keep(path: Path, target: Path) -> None:
    if target.exists() and path.samefile(target):
        return
    draft = target.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    try:
        os.link(path, draft)
    except OSError:
        shutil.copyfile(path, draft)
    draft.replace(target)


def _resumed(analyzer: Analyzer, draft: Draft) -> LivingIndex:
    """Return what an earlier attempt has built, where it is sound, else an empty index."""
    folder = draft.path / _FOLDER
    if (folder / _SEGMENTS).exists():
        try:
            index = LivingIndex(analyzer, [path for path in folder.iterdir() if path.suffix != ".part"])
            if index._rows == set(range(len(index))):
                return index
        except ValueError:
            pass  # it was cut off; the documents are at hand
        shutil.rmtree(folder)
    return LivingIndex(analyzer)


def _remove(folder: Path, process: int) -> None:
    # A child that was forked ends without the files of its parent.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
