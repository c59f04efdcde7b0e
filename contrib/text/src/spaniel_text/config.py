"""Options of the analyzers."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator
from spaniel import Config

from spaniel_text.normal import Form, Normalizer


class Spelling(Config):
    """What is done to a text before its words are found."""

    normalization: Form = Field(
        "nfkc",
        description="Unicode form: nfkc also joins full width, ligatures and digits of every script with the plain ones "
        "and drops invisible characters; nfc joins composed and decomposed letters; none changes nothing",
    )
    lowercase: bool = Field(True, description="fold the case before anything else: É is é, ß is ss, a final ς is σ")
    dotless_i: bool = Field(False, description="I is the capital of ı and İ of i, as in Turkish and Azeri")

    def normalizer(self) -> Normalizer:
        """Return what spells texts so."""
        return Normalizer(self.normalization, self.lowercase, self.dotless_i)


class Words(Spelling):
    """Words found, then stop words removed, then stemmed."""

    pattern: str | None = Field(
        None, description="regular expression of a token, its one group if it has one; by default words of every script"
    )
    single_letters: bool = Field(
        False, description="keep single Latin and Greek letters and digits too; those of other scripts are always kept"
    )
    stopwords: Literal["english"] | tuple[str, ...] | None = Field(
        None, description="words left out: Lucene's English list, a list of your own, or none"
    )
    stemmer: str | None = Field(None, description="Snowball language of the stemmer, or none")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            groups = re.compile(pattern or "").groups
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from None
        if groups > 1:
            raise ValueError(f"it has {groups} groups; one at most, the token. Others are written (?:…)")
        return pattern

    @field_validator("stemmer")
    @classmethod
    def _is_known(cls, stemmer: str | None) -> str | None:
        from Stemmer import algorithms

        if stemmer is not None and stemmer not in algorithms():
            raise ValueError(f"no Snowball stemmer; there are {', '.join(algorithms())}")
        return stemmer


class CharNgrams(Spelling):
    """Every run of n characters within a word; shorter words are kept whole."""

    n: int = Field(
        4, description="characters per token, as a reader counts them: a letter with its marks is one", ge=1, le=20
    )


class Chinese(Spelling):
    """Words by jieba's dictionary and hidden Markov model; punctuation left out."""

    search: bool = Field(True, description="add the shorter words inside long ones, as search engines do")


class Japanese(Spelling):
    """Words by Sudachi, the shortest ones, in their normal forms."""

    function_words: bool = Field(False, description="keep particles and auxiliaries too")
    dictionary: Literal["small", "core", "full"] = Field("small", description="Sudachi's dictionary, a package each")


class Korean(Spelling):
    """Stems of words by Kiwi."""

    function_words: bool = Field(False, description="keep particles, endings, suffixes and the copula too")


class Thai(Spelling):
    """Words by the dictionary of PyThaiNLP."""
