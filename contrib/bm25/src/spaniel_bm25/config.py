"""Options of BM25."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config
from spaniel.config import Expression, Filter, ref

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
    filter: Filter | None = Field(
        None, description="only documents whose metadata pass, as in filter=\"year >= 2000 and domain = 'news'\""
    )

    def index(self) -> Bm25Index:
        """Return the options that are part of the index."""
        return Bm25Index(**{name: getattr(self, name) for name in Bm25Index.model_fields})


class TantivyIndex(Config):
    """Options that are part of tantivy's index."""

    analyzer: Expression = ref("analyzer", "english", description="turns documents and queries into tokens")


class Tantivy(TantivyIndex):
    """Options of the index, and of searching it."""

    k: int = Field(1000, description="documents retrieved per query", ge=1)
    phrases: bool = Field(False, description="whether what stands in double quotes in a query must occur, as a phrase")
    filter: Filter | None = Field(
        None, description="only documents whose metadata pass, as in filter=\"year >= 2000 and domain = 'news'\""
    )

    def index(self) -> TantivyIndex:
        """Return the options that are part of the index."""
        return TantivyIndex(analyzer=self.analyzer)


class Feedback(Config):
    """Options of every feedback by terms."""

    index: Expression = ref(
        "index", "bm25", takes="corpus", description="the index of texts that expanded queries are searched in"
    )
    k: int = Field(1000, description="documents retrieved per query", ge=1)
    filter: Filter | None = Field(
        None, description="only documents whose metadata pass, as in filter=\"year >= 2000 and domain = 'news'\""
    )


class Rm3Config(Feedback):
    """Options of RM3; defaults are Anserini's."""

    fb_docs: int = Field(10, description="documents of the earlier run that are read", ge=1)
    fb_terms: int = Field(10, description="terms that a query is expanded by", ge=1)
    original_weight: float = Field(0.5, description="share of the query itself in the expanded one", ge=0, le=1)
    max_share: float = Field(
        0.1, description="terms in more than this share of all documents do not expand a query", ge=0, le=1
    )
    plain_terms: bool = Field(
        True, description="whether only terms of at most 20 letters and digits do, of at least 2 where they are ASCII"
    )
    document_weights: Literal["score", "uniform"] = Field(
        "score", description="what documents count: their score in the earlier run, or all the same"
    )


class Bo1Config(Feedback):
    """Options of Bo1; defaults are Terrier's."""

    fb_docs: int = Field(3, description="documents of the earlier run that are read", ge=1)
    fb_terms: int = Field(10, description="terms that a query is expanded by, its own among them", ge=1)
    min_docs: int = Field(2, description="documents that a term occurs in, unless it is the query's own", ge=1)
