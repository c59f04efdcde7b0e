"""Options of BM25."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config
from spaniel.config import Expression, ref

Method = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]


class Bm25Index(Config):
    """Options that are part of the index."""

    method: Method = Field("lucene", description="the variant of BM25")
    k1: float = Field(1.2, description="how slowly repeated terms saturate", ge=0)
    b: float = Field(0.75, description="how much longer documents are discounted, from 0 to 1", ge=0, le=1)
    delta: float = Field(0.5, description="lower bound of a term's weight, in BM25L and BM25+ alone", ge=0)
    analyzer: Expression = ref("analyzer", "english", description="turns documents and queries into tokens")


class Bm25(Bm25Index):
    """Options of the index, and how many documents are retrieved."""

    k: int = Field(1000, description="documents retrieved per query", ge=1)

    def index(self) -> Bm25Index:
        """Return the options that are part of the index."""
        return Bm25Index(**{name: getattr(self, name) for name in Bm25Index.model_fields})
