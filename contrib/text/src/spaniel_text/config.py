"""Options of the analyzers."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator
from spaniel import Config

WORD = r"\b\w\w+\b"


class Words(Config):
    """Words found by a pattern, then stop words removed, then stemmed."""

    pattern: str = Field(WORD, description="regular expression of a token; by default words of two characters or more")
    lowercase: bool = Field(True, description="lower the case before anything else")
    stopwords: Literal["english"] | tuple[str, ...] | None = Field(
        None, description="words left out: Lucene's English list, a list of your own, or none"
    )
    stemmer: str | None = Field(None, description="Snowball language of the stemmer, or none")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from None
        return pattern

    @field_validator("stemmer")
    @classmethod
    def _is_known(cls, stemmer: str | None) -> str | None:
        from Stemmer import algorithms

        if stemmer is not None and stemmer not in algorithms():
            raise ValueError(f"no Snowball stemmer; there are {', '.join(algorithms())}")
        return stemmer


class CharNgrams(Config):
    """Every run of n characters within a word; shorter words are kept whole."""

    n: int = Field(4, description="characters per token", ge=1, le=20)
    lowercase: bool = Field(True, description="lower the case before anything else")


class Chinese(Config):
    """Words by jieba's dictionary and hidden Markov model; punctuation left out."""

    search: bool = Field(True, description="add the shorter words inside long ones, as search engines do")
    lowercase: bool = Field(True, description="lower the case of Latin letters")
