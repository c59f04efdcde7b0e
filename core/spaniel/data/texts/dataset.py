"""A folder of ordinary files, or one of them, as a collection without queries."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spaniel.data.docstore import Located, corpus_need
from spaniel.data.document import Document
from spaniel.data.faults import Faults, check_metadata
from spaniel.data.files import digests_of
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.data.texts.decoding import NoTextError, check_encoding
from spaniel.data.texts.passages import WORDS, cut
from spaniel.data.texts.reading import READERS, Gap, Piece, page_of, title_of
from spaniel.data.texts.walking import KEPT, File, PassedOver, as_id, read_bytes, walk
from spaniel.errors import UsageError
from spaniel.store import Need, Store, canonical_json, default_root, digest_bytes

if TYPE_CHECKING:
    from spaniel.context import Context

READER = "2"
"""Version of the readers; part of every corpus that they read."""
LARGEST = 32
"""MiB of a file; a larger one is passed over."""
_LIBRARIES = {".pdf": "pypdf", ".html": "lxml", ".htm": "lxml", ".xhtml": "lxml"}


class FilesDataset:
    """A folder of text, Markdown, HTML, tables, JSON and PDF, or one such file; it has no queries and no judgments.

    A long text is cut into passages. The id of a document is the file's path in the folder, with ``#number`` for a
    passage or row; its metadata are the file, the span of characters, and what the file says.

    Args:
        path: the folder or file.
        store: remembers the digests of the files; by default the user's own.
        words: the most words of a passage.
        largest: the most MiB of a file.
        encoding: of files that are neither UTF-8 nor say what they are; by default it is guessed.
        context: the session whose observers are told how far the files are read; by default nobody is.

    Raises:
        UsageError: there is no such folder or file, or an option is wrong.
    """

    splits: tuple[str, ...] = ()

    def __init__(
        self,
        path: str | Path,
        store: Store | None = None,
        words: int = WORDS,
        largest: int = LARGEST,
        encoding: str | None = None,
        context: Context | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise UsageError(f"there is no folder or file {as_id(str(self.path))}")
        if words < 1 or largest < 1:
            raise UsageError(f"words and largest are at least 1, not {words} and {largest}")
        self.name = as_id(self.path.resolve().name)
        self._options = {"words": words, "largest": largest}
        self._encoding = check_encoding(encoding) if encoding else None
        self._store = store
        self._context = context
        self._passed = PassedOver()

    def documents(self) -> Need:
        """The document store; identified by names and digests of the files.

        Raises:
            UsageError: there is nothing that can be read.
        """
        store = self._store or Store(default_root())
        files, passed = self._files()
        digests: dict[str, str] = {}
        found = digests_of([file.path for file in files], store, self._context)
        for file, digest in zip(files, found, strict=True):
            if isinstance(digest, OSError):
                passed.add(as_id(file.name), f"cannot be read ({digest.strerror or digest})")
            else:
                digests[file.name] = digest
        kept = [file for file in files if file.name in digests]
        if not kept:
            told = "; ".join(f"{one['files']:,} {one['why']}" for one in passed.to_json())
            raise UsageError(
                f"{self.path} holds {'no file that can be read: ' + told if told else 'nothing'}; a collection is a "
                f"folder of files that end in {', '.join(sorted(filter(None, READERS)))}, or one with corpus.jsonl, "
                "queries.jsonl and qrels/"
            )
        inputs = {"files": digest_bytes(canonical_json(sorted(digests.items())))}
        config: dict[str, Any] = {
            "reader": READER,
            "encoding": self._encoding,
            **self._options,
            "libraries": _libraries(kept),
        }
        self._passed = passed

        def read(faults: Faults) -> Iterator[Located]:
            yield from _Reading(kept, digests, self._encoding, self._options["words"]).documents(faults)

        return corpus_need(read, "spaniel/files", inputs, config)

    def reading(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was read and passed over, as plain data: of the folder as it is, and of the corpus's own info."""
        files = info["files"]
        passed = PassedOver.from_json(files["passed_over"])
        passed.join(self._passed)
        return {**files, "passed_over": passed.to_json()}

    def queries(self, split: str | None = None) -> Queries:
        """Refuse: ordinary files have no queries.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self.path} is a folder of files: it has no queries.jsonl and no qrels/ to measure with")

    def qrels(self, split: str) -> Qrels:
        """Refuse: ordinary files have no judgments.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self.path} is a folder of files: it has no qrels/ to measure with")

    def _files(self) -> tuple[list[File], PassedOver]:
        if self.path.is_dir():
            found, passed = walk(self.path)
        else:
            if not self.path.is_file():
                raise UsageError(f"{self.path} is neither a folder nor an ordinary file")
            found, passed = [File(self.path.resolve(), self.path.name, self.path.stat().st_size)], PassedOver()
        files = []
        for file in found:
            if file.ending not in READERS:
                passed.add(as_id(file.name), f"no reader for {as_id(file.ending)}")
            elif file.size > self._options["largest"] * 2**20:
                passed.add(as_id(file.name), f"larger than {self._options['largest']} MiB")
            elif not file.size:
                passed.add(as_id(file.name), "empty")
            else:
                files.append(file)
        return files, passed


class _Reading(NamedTuple):
    files: list[File]
    digests: dict[str, str]
    encoding: str | None
    words: int

    def documents(self, faults: Faults) -> Iterator[Located]:
        passed, read, guesses = PassedOver(), Counter[str](), dict[str, list[str]]()
        for file in self.files:
            name = as_id(file.name)
            given = told = 0
            try:
                for part in READERS[file.ending](self._bytes(file), file.ending, self.encoding):
                    if isinstance(part, Gap):
                        passed.add(f"{name}, {part.part}", part.why)
                        told += 1
                        continue
                    if part.guessed and name not in guesses.setdefault(part.guessed, [])[-1:]:
                        guesses[part.guessed].append(name)
                    for document in self._passages(name, file, part):
                        given += 1
                        yield document.id, document
            except NoTextError as error:
                passed.add(name, str(error))
                continue
            if given:
                read[file.ending] += 1
            elif not told:
                passed.add(name, "empty")
        faults.facts["files"] = {
            "read": dict(sorted(read.items())),
            "passed_over": passed.to_json(),
            "guessed": {name: {"files": len(of), "first": of[:KEPT]} for name, of in sorted(guesses.items())},
        }

    def _bytes(self, file: File) -> bytes:
        try:
            data = read_bytes(file, file.size)
        except OSError:
            data = b""
        # What is built must be what its recipe says.
        if hashlib.sha256(data).hexdigest() != self.digests[file.name]:
            raise UsageError(f"{as_id(str(file.path))} was changed while it was read; try again")
        return data

    def _passages(self, name: str, file: File, piece: Piece) -> Iterator[Document]:
        text = piece.text[piece.begin :]
        spans = list(cut(text, self.words))
        title = piece.title or ("" if piece.number else title_of(name))
        if not spans and piece.title and piece.number:
            spans = [(0, 0)]
        for place, (begin, end) in enumerate(spans, 1):
            metadata = {k: v for k, v in piece.metadata.items() if not check_metadata({k: v})}
            metadata |= {"file": name, "span": [piece.begin + begin, piece.begin + end]}
            if piece.number:
                metadata["row"] = piece.number
            if piece.pages:
                metadata["page"] = page_of(piece, piece.begin + begin)
            several = len(spans) > 1
            parts = [str(number) for number in (piece.number, place if several else 0) if number]
            made = f"{name}#{'.'.join(parts)}" if parts else name
            yield Document(made, _whole(title), _whole(text[begin:end]), metadata)


def _whole(text: str) -> str:
    """Return a text with U+FFFD for lone surrogates, which JSON can write."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def _libraries(files: list[File]) -> dict[str, str | None]:
    """Return the versions of the libraries that decide what is read of these files."""
    made: dict[str, str | None] = {}
    for name in sorted({"chardet", *(_LIBRARIES[file.ending] for file in files if file.ending in _LIBRARIES)}):
        try:
            made[name] = version(name)
        except PackageNotFoundError:
            made[name] = None
    return made
