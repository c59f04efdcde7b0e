"""Bi-encoders that learn to ask: the vectors of documents stay as an encoder has made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context, UsageError
from spaniel.data import Corpus, Document, Vectors
from spaniel.encoding import corpus_vectors
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.models import Item
from spaniel_train.protocols import Objective, Role
from spaniel_train.trainees.encoders import EncoderTrainee

if TYPE_CHECKING:
    from spaniel_train.data import Data


class FrozenDocumentsTrainee(EncoderTrainee):
    """A bi-encoder whose documents have the vectors of another encoder, which is not trained.

    The texts of the rows are encoded once and kept in the store, as the documents of the collection are on which the
    model is measured: an index of the encoder's that is there already is searched with the new queries as it is.

    Args:
        encoder: the encoder.
    """

    def __init__(self, model: Any, context: Context, encoder: Any) -> None:
        super().__init__(model)
        self.context = context
        self.encoder = encoder
        self._rows: dict[str, int] = {}
        self._vectors: Vectors | None = None

    def meet(self, objectives: Sequence[Objective], data: Data) -> None:
        """Encode the texts of all rows, or find their vectors in the store.

        Raises:
            UsageError: the encoder's vectors have other dimensions, or are compared otherwise.
        """
        texts = {sha256(t.encode()).hexdigest(): t for row in data.rows for t in (*row.positives, *row.negatives)}
        corpus = Corpus.from_documents(Document(name, text=text) for name, text in sorted(texts.items()))
        self._rows = dict(zip(texts.values(), corpus.rows(list(texts)).tolist(), strict=True))
        self._vectors = self._of(corpus)
        size = self.model.get_embedding_dimension()
        found = int(self._rows_of(self._vectors, np.zeros(0, np.int64)).shape[1])
        if found != size:
            raise UsageError(f"model.documents: {self.encoder} gives {found} dimensions, and the model gives {size}")
        if self._vectors.metric != self.model.similarity_fn_name:
            raise UsageError(
                f"model.documents: {self.encoder} compares vectors by {self._vectors.metric}, and the model by "
                f"{self.model.similarity_fn_name}: set model.similarity"
            )

    def items(self, batch: Batch) -> list[Item]:
        """Return the queries."""
        return self.queries(batch)

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return scores of the queries with the documents' own vectors, which have no gradient."""
        assert self._vectors is not None  # the training has begun
        rows = np.array([self._rows[text] for text in batch.texts], np.int64)
        texts = self._rows_of(self._vectors, rows).to(representations.device)
        return self.compared(representations, texts, batch)

    def read(self, texts: Sequence[str], role: Role) -> Tensor:
        """Return vectors of queries; documents are read by :meth:`reader`."""
        if role == "document":
            raise UsageError("documents have the vectors of model.documents")
        return super().read(texts, role)

    def reader(self, corpus: Corpus) -> Callable[[NDArray[np.int64]], Any]:
        """Return what looks up the vectors of a corpus."""
        vectors = self._of(corpus)
        return lambda rows: self.scaled(self._rows_of(vectors, rows).to(self.model.device))

    def _of(self, corpus: Corpus) -> Vectors:
        return corpus_vectors(self.context, self.encoder, corpus.need, "dense")

    def _rows_of(self, vectors: Any, rows: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.asarray(vectors.values[rows], np.float32))
