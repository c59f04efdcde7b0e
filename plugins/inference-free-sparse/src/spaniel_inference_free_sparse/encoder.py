"""Documents by a model, queries by a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import SparseVectors
from spaniel.observe import loaded_property
from spaniel.store import digest_bytes
from spaniel_neural.files import transformer_digest
from spaniel_neural.locating import download_model, find_model
from spaniel_sparse.encoder import embed_distinct
from spaniel_sparse.spans import TermSpan, term_spans

from spaniel_inference_free_sparse.config import Activation, InferenceFreeConfig
from spaniel_inference_free_sparse.layout import Folder, read_folder
from spaniel_inference_free_sparse.queries import QueryTable, keep, prune
from spaniel_inference_free_sparse.tokens import read_tokenizer, special_tokens
from spaniel_inference_free_sparse.weighing import Weighing

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Metadata, Role

_TINY = "package:cognition/"
ACTIVATIONS: Mapping[Activation, Literal["relu", "log1p_relu"]] = {
    "log1p_relu": "relu",
    "log1p_log1p_relu": "log1p_relu",
}
"""Our names of the activations → those of sentence-transformers."""


class InferenceFreeEncoder:
    """One weight a term of the vocabulary: of a document by a masked language model, of a query by a table.

    The score of a query and a document is the sum of idf times the document's weight over the query's tokens (Geng et al.,
    2024, the matching function). Reading a query loads neither the model nor the library that runs it.
    """

    def __init__(self, config: InferenceFreeConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @loaded_property
    def folder(self) -> Folder:
        """What the model's folder holds; fetched from the hub where this machine lacks it."""
        try:
            return read_folder(download_model(self.config.model, self.config.revision, self.context.offline))
        except UsageError as error:
            raise self._with_hint(error) from None

    @cached_property
    def weighing(self) -> Weighing | None:
        """The table that the options name; ``None`` for the folder's own."""
        c = self.config
        if c.idf is None:
            if c.background:
                raise UsageError("background is mixed into the counts of a collection: name one as idf")
            return None
        return Weighing(self.context, c.idf, self.folder.tokenizer, c.background, c.default_idf)

    @loaded_property
    def table(self) -> QueryTable:
        """The weights of queries."""
        tokenizer = read_tokenizer(self.folder.tokenizer)
        made = (
            self.weighing.weights()
            if self.weighing is not None
            else self.folder.weights(tokenizer, self.config.default_idf)
        )
        return QueryTable(tokenizer, made, self.config.binary)

    @loaded_property
    def documents(self) -> Any:
        """The model that reads documents, loaded on first use."""
        from spaniel_sparse.config import SpladeConfig
        from spaniel_sparse.vocabulary import PooledVocabulary

        c = self.config
        layout = self.folder.documents
        if c.activation is not None:
            layout = replace(layout, activation=ACTIVATIONS[c.activation])
        options = SpladeConfig(
            model=c.model, revision=c.revision, dtype=c.dtype, max_length=c.max_length, pooling="max"
        )
        return PooledVocabulary(layout, options, self.context)

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Return the digest of the side that reads texts of a role: weights and tokenizer, or the table.

        A model that has not been fetched yet is known by its name and revision; nothing is fetched or counted to plan.
        """
        c = self.config
        try:
            found = find_model(c.model, c.revision)
        except UsageError as error:
            raise self._with_hint(error) from None
        if found is None:
            return {"model": f"{c.model}@{c.revision or 'main'}"}
        folder = read_folder(found)
        if role == "document":
            layout = folder.documents
            settings = [layout.activation, layout.max_length, dict(layout.prompts)]
            return {"model": transformer_digest(layout.transformer, self.context.store, settings)}
        if self.weighing is not None:
            table = self.weighing.fingerprint()
        else:
            table = {"idf": self.context.store.digest_of(folder.table)} if folder.table is not None else {}
        return {"tokenizer": digest_bytes((folder.tokenizer / "tokenizer.json").read_bytes()), **table}

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, SparseVectors]:
        """Return weights of terms, 0 or more, under the name ``sparse``; terms are the tokenizer's numbers."""
        prompt = self.folder.documents.prompts.get(role, "")
        if role == "query":
            asked = self.table.encode([prompt + text if text.strip() else "" for text in texts])
            return {
                "sparse": asked
                if self.config.query_prune_ratio is None
                else prune(asked, self.config.query_prune_ratio)
            }
        return {"sparse": embed_distinct(texts, lambda own: self._embed([prompt + text for text in own]))}

    def _embed(self, texts: list[str]) -> SparseVectors:
        self.context.count("texts encoded", len(texts))
        made: SparseVectors = self.documents.embed(texts, "document", None)
        if self.config.zero_special_tokens:
            made = keep(made, ~np.isin(made.indices, special_tokens(self.table.tokenizer)))
        if self.config.prune_ratio is not None:
            made = prune(made, self.config.prune_ratio)
        if self.config.document_terms is not None:
            made = keep_greatest(made, self.config.document_terms)
        return made

    def names(self, terms: NDArray[np.int32]) -> list[str]:
        """Return what terms are called, for readers."""
        return [self.table.tokenizer.id_to_token(term) or f"term {term}" for term in terms.tolist()]

    def spans(self, text: str, role: Role) -> list[TermSpan]:
        """Return where the terms that a text holds stand in it."""
        return term_spans(self.table.tokenizer, text, self.folder.documents.prompts.get(role, ""))

    def _with_hint(self, error: UsageError) -> UsageError:
        if self.config.model.startswith(_TINY):
            return UsageError(f'{error}: pip install "spaniel-inference-free-sparse[tiny]"')
        return error


def keep_greatest(vectors: SparseVectors, count: int) -> SparseVectors:
    """Return the ``count`` greatest weights of each vector, of equal ones the lower term."""
    owners = np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr))
    order = np.lexsort((vectors.indices, -vectors.values, owners))
    ranks = np.arange(len(order)) - vectors.indptr[owners]
    kept = np.zeros(len(order), bool)
    kept[order[ranks < count]] = True
    return keep(vectors, kept)
