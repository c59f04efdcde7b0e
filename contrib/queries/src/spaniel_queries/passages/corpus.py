"""The passages of a corpus: a corpus of its own, and which document each is of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Corpus, Document
from spaniel.data import Located, corpus_need
from spaniel.indexing import open_corpus
from spaniel.store import Artifact, Draft, Need, Recipe

from spaniel_queries.version import VERSION
from spaniel_queries.vocabulary import read_array

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.data import Faults

    from spaniel_queries.passages.cutting import Cutter

NAME = "spaniel-queries/passages"
OF = "passage_of"
"""Name in the metadata of a passage: its document's id, its number from 1, and its span in the document's text."""
_BATCH = 500


@dataclass(frozen=True, eq=False)
class Passages:
    """Passages and the documents that they are of.

    Attributes:
        corpus: the passages, as documents with the titles and metadata of theirs.
        documents: ``(passages,)`` the row of each one's document.
        numbers: ``(passages,)`` its number in the document, from 0.
    """

    corpus: Corpus
    documents: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many passages each document has: ``(documents,)``."""
        return np.bincount(self.documents).astype(np.int64)

    @cached_property
    def _ordered(self) -> NDArray[np.int64]:
        return np.lexsort((self.numbers, self.documents)).astype(np.int64)

    def of(self, documents: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows of the passages of documents, in their order, and the position of the document of each."""
        begins = np.cumsum(self.sizes) - self.sizes
        lengths = self.sizes[documents]
        owners = np.repeat(np.arange(len(documents)), lengths)
        places = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self._ordered[np.repeat(begins[documents], lengths) + places], owners


def passages_need(context: Context, cutter: Cutter, corpus: Need) -> Need:
    """Name the corpus of the passages of another corpus; its documents have the id ``document#number``."""

    def read(faults: Faults) -> Iterator[Located]:
        for batch in open_corpus(context, corpus).batches(_BATCH):
            for document in batch.documents:
                for number, (start, end) in enumerate(cutter.spans(document.text), 1):
                    about = {"document": document.id, "number": number, "span": [start, end]}
                    metadata = {**document.metadata, OF: about}
                    text = document.text[start:end]
                    yield document.id, Document(f"{document.id}#{number}", document.title, text, metadata)

    inputs = {"corpus": corpus.recipe.address}
    made = corpus_need(read, NAME, inputs, cutter.description(), version=VERSION)
    return Need(made.recipe, made.build, (corpus,))


def split_need(context: Context, passages: Need, corpus: Need) -> Need:
    """Name what says of which document each passage is."""

    def build(draft: Draft) -> None:
        parts, whole = open_corpus(context, passages), open_corpus(context, corpus)
        advance = draft.progress(len(parts), "passages")
        documents, numbers = np.empty(len(parts), np.int64), np.empty(len(parts), np.int64)
        for batch in parts.batches(_BATCH):
            here = slice(batch.start, batch.start + len(batch.documents))
            documents[here] = whole.rows([document.metadata[OF]["document"] for document in batch.documents])
            numbers[here] = [document.metadata[OF]["number"] - 1 for document in batch.documents]
            advance(len(batch.documents))
        for name, array in (("documents.npy", documents), ("numbers.npy", numbers)):
            np.save(draft.file(name), array, allow_pickle=False)

    inputs = {"passages": passages.recipe.address, "corpus": corpus.recipe.address}
    return Need(Recipe("split", NAME, VERSION, {}, None, inputs), build, (passages, corpus))


def open_passages(context: Context, cutter: Cutter, corpus: Corpus) -> Passages:
    """Obtain the passages of a corpus, opened once in a session.

    Raises:
        ArtifactError: they are damaged.
    """
    need = passages_need(context, cutter, corpus.need)
    parts = open_corpus(context, need)

    def read(artifact: Artifact) -> Passages:
        documents = read_array(artifact, "documents.npy", len(parts), len(corpus) - 1)
        numbers = read_array(artifact, "numbers.npy", len(parts), max(0, len(parts) - 1))
        made = Passages(parts, documents, numbers)
        if len(made.sizes) != len(corpus) or (len(corpus) and made.sizes.min() < 1):
            raise ArtifactError(artifact.path, "lacks the passages of a document; remove it and build it again")
        return made

    opened: Passages = context.open(split_need(context, need, corpus.need), "split", read)
    return opened
