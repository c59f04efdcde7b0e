"""The tokens of a corpus, a part of it after another, in files of the draft: a build that is killed goes on from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from spaniel import Corpus
from spaniel.store import Draft
from spaniel_impacts.building import Batch

if TYPE_CHECKING:
    from spaniel_text.protocol import Analyzer

PART = 20_000
"""Documents in a part: what is lost at most."""
BATCH = 5000
"""Documents analyzed at once."""
_FOLDER = "tokens"


class Tokens:
    """Tokens of documents as numbers, in parts on disk; new tokens are numbered in the order in which they come.

    Args:
        draft: where the parts lie; :func:`remove_tokens` takes them away.
        corpus: the documents.
        analyzer: turns them into tokens.

    Attributes:
        vocabulary: token → number.
    """

    def __init__(self, draft: Draft, corpus: Corpus, analyzer: Analyzer) -> None:
        self.vocabulary: dict[str, int] = {}
        self._draft = draft
        self._parts = -(-len(corpus) // PART)
        advance = draft.progress(len(corpus), "documents")
        for part in range(self._parts):
            name, size = f"{_FOLDER} {part}", min(PART, len(corpus) - part * PART)
            if draft.done(name):
                known = json.loads(self._file(part, "words.json").read_bytes())
                self.vocabulary.update(zip(known, range(len(self.vocabulary), 2**31), strict=False))
                advance(size)
            else:
                self._write(part, corpus, analyzer, advance)
                draft.finish(name)

    def batches(self) -> list[Batch]:
        """Return the parts, memory-mapped: tokens per document, and their numbers."""
        return [(self._load(part, "lengths"), self._load(part, "ids")) for part in range(self._parts)]

    def _file(self, part: int, name: str) -> Path:
        return self._draft.file(f"{_FOLDER}/{part}/{name}")

    def _load(self, part: int, name: str) -> np.ndarray:
        array: np.ndarray = np.load(self._file(part, f"{name}.npy"), mmap_mode="r", allow_pickle=False)
        return array

    def _write(self, part: int, corpus: Corpus, analyzer: Analyzer, advance: Callable[[int], None]) -> None:
        lengths, numbers, before = [np.empty(0, np.int64)], [np.empty(0, np.int32)], len(self.vocabulary)
        end = min(len(corpus), (part + 1) * PART)
        for batch in corpus.batches(BATCH, part * PART):
            documents = batch.documents[: end - batch.start]
            tokens = analyzer.analyze([document.contents for document in documents])
            found = (self.vocabulary.setdefault(token, len(self.vocabulary)) for token in tokens.vocabulary)
            table = np.fromiter(found, np.int32, len(tokens.vocabulary))
            numbers.append(table[tokens.ids] if len(tokens.ids) else np.empty(0, np.int32))
            lengths.append(np.diff(tokens.offsets).astype(np.int64))
            advance(len(documents))
            if batch.start + len(documents) >= end:
                break
        np.save(self._file(part, "lengths.npy"), np.concatenate(lengths), allow_pickle=False)
        np.save(self._file(part, "ids.npy"), np.concatenate(numbers), allow_pickle=False)
        self._file(part, "words.json").write_text(json.dumps(list(self.vocabulary)[before:]), encoding="utf-8")


def remove_tokens(draft: Draft) -> None:
    """Take the parts away; they are no part of an index."""
    shutil.rmtree(draft.path / _FOLDER, ignore_errors=True)
