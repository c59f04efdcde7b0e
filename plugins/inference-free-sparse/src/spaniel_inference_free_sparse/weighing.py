"""Which table a query's weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.collections import find_dataset
from spaniel.observe import loaded_property
from spaniel.store import Need, digest_bytes

from spaniel_inference_free_sparse.idf import (
    ENGLISH,
    Counts,
    counts_need,
    english_counts,
    open_counts,
    read_table,
)
from spaniel_inference_free_sparse.tokens import read_tokenizer

if TYPE_CHECKING:
    from spaniel import Context
    from tokenizers import Tokenizer

_ENGLISH = "english"


class Weighing:
    """The table that an option names, for the tokenizer of a folder.

    Args:
        context: the session.
        idf: ``"english"``, a JSON file, or a collection.
        folder: has the tokenizer.
        background: how many documents of the table ``english`` are mixed in.
        default: weight of tokens without a document.
    """

    def __init__(self, context: Context, idf: str, folder: Path, background: float, default: float) -> None:
        if background and (idf == _ENGLISH or idf.endswith(".json")):
            raise UsageError(
                f"background={background:g} is mixed into the counts of a collection, and idf={idf} is none"
            )
        self.context = context
        self.idf = idf
        self.folder = folder
        self.background = background
        self.default = default

    @loaded_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose tokens are weighed."""
        return read_tokenizer(self.folder)

    @cached_property
    def need(self) -> Need | None:
        """The counts of the collection; ``None`` where the table is no collection's."""
        if self.idf == _ENGLISH or self.idf.endswith(".json"):
            return None
        return counts_need(self.folder, find_dataset(self.context, self.idf).documents())

    def fingerprint(self) -> Mapping[str, str]:
        """Return what decides the table; counts nothing."""
        if self.need is not None:
            mixed = {"background": digest_bytes(ENGLISH.read_bytes())} if self.background else {}
            return {"idf": self.need.recipe.address, **mixed}
        path = ENGLISH if self.idf == _ENGLISH else Path(self.idf)
        try:
            return {"idf": digest_bytes(path.read_bytes())}
        except OSError as error:
            raise UsageError(f"idf={self.idf}: the file cannot be read ({error})") from error

    @cached_property
    def counts(self) -> Counts | None:
        """The counts, counted where the store lacks them; ``None`` where weights are read from a file."""
        if self.idf == _ENGLISH:
            return english_counts(self.tokenizer)
        if self.need is None:
            return None
        counts = open_counts(self.context.obtain(self.need))
        return counts.mixed(english_counts(self.tokenizer), self.background) if self.background else counts

    def weights(self) -> NDArray[np.float32]:
        """Return the table, ``(vocabulary,)`` float32."""
        if self.counts is None:
            return read_table(Path(self.idf), self.tokenizer, self.default)
        return self.counts.weights(self.default)
