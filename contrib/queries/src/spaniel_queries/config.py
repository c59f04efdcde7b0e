"""Options of the rewriters and of passages."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from spaniel import Config
from spaniel.config import Expression, ref

_WORDS = ref("analyzer", "words", description="finds the words of documents and queries")
_REPEAT = Field(
    5,
    description="times that the query stands before what is added: the more, the more its own words count",
    ge=1,
    le=100,
)


class StopPhrases(Config):
    """Options of leaving out phrases."""

    phrases: tuple[str, ...] | None = Field(
        None, description="what is left out at the begin of a query; by default what begins English questions"
    )
    anywhere: bool = Field(False, description="whether the phrases are left out wherever they stand")


class Spelling(Config):
    """Options of correcting words."""

    analyzer: Expression = _WORDS
    distance: int | None = Field(
        None,
        description="changes of a word at the most: letters left out, added, replaced, or swapped with the next; by default "
        "1 from 4 letters on, and 2 from 8 on",
        ge=1,
        le=3,
    )
    prefix: int = Field(1, description="letters at the begin of a word that are taken for right", ge=0)
    least: int = Field(1, description="documents that a word must be in to be right, or to replace another", ge=1)


class Cooccurrence(Config):
    """Options of expansion by words that occur together."""

    analyzer: Expression = _WORDS
    terms: int = Field(5, description="words added to a query at the most", ge=1, le=1000)
    measure: Literal["log-likelihood", "pmi"] = Field(
        "log-likelihood", description="how strongly two words belong together; pmi prefers rare words"
    )
    least: int = Field(3, description="documents that two words must share to be counted", ge=1)
    share: float = Field(
        0.1,
        description="share of the documents beyond which a word is too common to expand, or to be added",
        gt=0,
        le=1,
    )
    documents: int = Field(
        100_000, description="documents that are counted at the most, spread evenly over the corpus", ge=1, le=1_000_000
    )
    repeat: int = _REPEAT


class FeedbackWords(Config):
    """Options of expansion by the first documents of a run."""

    analyzer: Expression = _WORDS
    k: int = Field(5, description="documents of each list that are read", ge=1, le=1000)
    terms: int = Field(10, description="words added to a query at the most", ge=1, le=1000)
    share: float = Field(0.1, description="share of the documents beyond which a word is too common", gt=0, le=1)
    repeat: int = _REPEAT


class _Asking(Config):
    """Options of asking a language model."""

    lm: Expression = ref(
        "language_model",
        "recorded(lm=smollm2)",
        description="writes; by default its answers are kept in the store, and asked for once",
    )
    max_tokens: int = Field(128, description="tokens of an answer at the most", ge=1)
    temperature: float = Field(0.0, description="0: the likeliest answer; above, answers are drawn", ge=0, le=5)
    prompt: str = Field("{query}", description="what is asked; `{query}` stands for the query")

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, given: str) -> str:
        if "{query}" not in given:
            raise ValueError("a prompt has {query} where the query is to stand")
        return given


class Query2doc(_Asking):
    """Options of query2doc."""

    prompt: str = Field(
        "Write a passage that answers the given query.\n\nQuery: {query}\nPassage:",
        description="what is asked; `{query}` stands for the query",
    )
    repeat: int = Field(
        5,
        description="times that the query stands before the passage: 5 for lexical retrieval, 1 for dense",
        ge=1,
        le=100,
    )


class Hyde(_Asking):
    """Options of hypothetical documents."""

    prompt: str = Field(
        "Please write a passage to answer the question.\nQuestion: {query}\nPassage:",
        description="what is asked; `{query}` stands for the query",
    )
    n: int = Field(1, description="passages written for a query; several need a temperature above 0", ge=1, le=100)
    query: bool = Field(True, description="whether the query itself is asked as well")
    k: float = Field(60, description="constant of the fusion of the runs, as in rrf", ge=0)

    @model_validator(mode="after")
    def _check_drawn(self) -> Hyde:
        if self.n > 1 and self.temperature == 0:
            raise ValueError(f"n={self.n}: at temperature=0 there is one passage; say temperature=0.7, for example")
        return self


class VariantsOf(_Asking):
    """Options of several rewrites."""

    prompt: str = Field(
        "Write {n} different search queries that would find what the following query asks for, one in each line.\n"
        "Query: {query}\nQueries:",
        description="what is asked; `{query}` stands for the query, `{n}` for the number of rewrites",
    )
    n: int = Field(5, description="rewrites of a query at the most", ge=1, le=100)
    weight: float = Field(
        1.0, description="how much the query itself counts beside each rewrite; 0 leaves it out", ge=0, le=1000
    )
    k: float = Field(60, description="constant of the fusion of the runs, as in rrf", ge=0)


class Passages(Config):
    """Options of searching and reranking passages."""

    inputs_field: ClassVar[str] = "system"

    system: Annotated[tuple[Expression, ...], Field(min_length=1, max_length=1)] = ref(
        ("retrieve", "rerank"), description="what searches the passages, or reranks those of each document"
    )
    words: int | None = Field(
        None, description="words of a passage at the most; 150 where nothing else is said", ge=1, le=100_000
    )
    sentences: int | None = Field(None, description="sentences of a passage, instead of words", ge=1, le=10_000)
    tokens: int | None = Field(None, description="tokens of a passage at the most, instead of words", ge=1, le=100_000)
    tokenizer: str | None = Field(
        None, description="folder of the model whose tokens are counted, `package:NAME/FOLDER`, or its name on the hub"
    )
    stride: int | None = Field(
        None,
        description="words, sentences or tokens between the begins of two passages; by default passages do not overlap, "
        "and those of words end where paragraphs or sentences do",
        ge=1,
    )
    pool: Literal["max", "sum", "first", "mean"] = Field(
        "max",
        description="what a document's score is: of its passages the best, all, the first, or the mean of the best",
    )
    best: int = Field(3, description="passages whose mean is taken, under pool=mean", ge=1)
    k: int | None = Field(
        None,
        description="documents returned, or reranked, per query; by default as many as the system's own k says",
        ge=1,
    )

    @property
    def unit(self) -> Literal["words", "sentences", "tokens"]:
        """What passages are measured in."""
        return "sentences" if self.sentences else "tokens" if self.tokens else "words"

    @property
    def size(self) -> int:
        """How many of them a passage has at the most."""
        return self.sentences or self.tokens or self.words or 150

    @model_validator(mode="after")
    def _check_unit(self) -> Passages:
        given = [name for name in ("words", "sentences", "tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both given; passages are measured in one of them")
        if (self.tokens is None) != (self.tokenizer is None):
            raise ValueError("tokens= and tokenizer= are given together: the tokens are those of a model")
        if self.stride is not None and self.stride > self.size:
            raise ValueError(f"stride={self.stride} would leave out text: passages have {self.size} {self.unit}")
        return self
