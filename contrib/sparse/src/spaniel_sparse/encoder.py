"""Texts → weights of terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import SparseVectors
from spaniel.observe import loaded_property
from spaniel_neural.locating import download_model, find_model
from spaniel_neural.texts import distinct

from spaniel_sparse.config import SpladeConfig
from spaniel_sparse.layout import Layout, read_layout
from spaniel_sparse.spans import TermSpan, term_spans

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Metadata, Role

_TINY = "package:cognition/"


class Model(Protocol):
    """What runs the model."""

    @property
    def width(self) -> int: ...

    @property
    def tokenizer(self) -> Any: ...

    def embed(self, texts: Sequence[str], role: str, keep: int | None) -> SparseVectors: ...


def embed_distinct(texts: Sequence[str], embed: Callable[[list[str]], SparseVectors]) -> SparseVectors:
    """Return the vectors of texts; of those that come several times one is made, and blank ones have no terms.

    Args:
        texts: of one role.
        embed: makes the vectors of texts that are not blank.
    """
    told = np.array([bool(text.strip()) for text in texts], bool)
    own, places = distinct([text for text in texts if text.strip()])
    made = embed(own)
    # The last row, of no terms, is that of every blank text.
    made = SparseVectors(np.append(made.indptr, made.indptr[-1]), made.indices, made.values, made.width)
    rows = np.full(len(texts), len(own), np.int64)
    rows[told] = places
    return made.take(rows)


class SpladeEncoder:
    """One weight a term of the vocabulary, most of them 0 (Formal et al., SPLADE v2, 2021, equations 1 and 6).

    Texts that come several times are encoded once; an empty one has no terms.
    """

    def __init__(self, config: SpladeConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @loaded_property
    def layout(self) -> Layout:
        """What the model's folder says; fetched from the hub where this machine lacks it."""
        try:
            folder = download_model(self.config.model, self.config.revision, self.context.offline)
        except UsageError as error:
            raise self._with_hint(error) from None
        return read_layout(folder)

    @loaded_property
    def model(self) -> Model:
        """The model itself, loaded on first use."""
        if self.layout.is_plain:
            from spaniel_sparse.vocabulary import PooledVocabulary

            return cast(Model, PooledVocabulary(self.layout, self.config, self.context))
        from spaniel_sparse.modules import ModularEncoder

        return cast(Model, ModularEncoder(self.layout, self.config, self.context))

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Return the digest of weights, tokenizer and settings.

        A model that has not been fetched yet is known by its name and revision; nothing is fetched to plan.
        """
        try:
            folder = find_model(self.config.model, self.config.revision)
        except UsageError as error:
            raise self._with_hint(error) from None
        if folder is None:
            return {"model": f"{self.config.model}@{self.config.revision or 'main'}"}
        return {"model": read_layout(folder).digest(self.context.store)}

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, SparseVectors]:
        """Return weights of terms, 0 or more, under the name ``sparse``; terms are the tokenizer's numbers."""
        prompt = self.layout.prompts.get(role, "")
        keep = self.config.query_terms if role == "query" else self.config.document_terms

        def embed(own: list[str]) -> SparseVectors:
            self.context.count("texts encoded", len(own))
            return self.model.embed([prompt + text for text in own], role, keep)

        return {"sparse": embed_distinct(texts, embed)}

    def names(self, terms: NDArray[np.int32]) -> list[str]:
        """Return what terms are called, for readers."""
        named: list[str] = self.model.tokenizer.convert_ids_to_tokens(terms.tolist())
        return named

    def spans(self, text: str, role: Role) -> list[TermSpan]:
        """Return where the terms that a text holds stand in it; those that the model adds have no place."""
        prompt = self.layout.prompts.get(role, "")
        return term_spans(self.model.tokenizer, text, prompt, getattr(self.model, "max_length", None))

    def _with_hint(self, error: UsageError) -> UsageError:
        if self.config.model.startswith(_TINY):
            return UsageError(f'{error}: pip install "spaniel-sparse[splade-tiny]"')
        return error
