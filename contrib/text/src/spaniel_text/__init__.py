"""Text analysis for Spaniel: adds the kind ``analyzer``."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, Kind, hookimpl

SNOWBALL = (
    "arabic", "armenian", "basque", "catalan", "czech", "danish", "dutch", "esperanto", "estonian", "finnish",
    "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali",
    "norwegian", "persian", "polish", "portuguese", "romanian", "russian", "serbian", "sesotho", "spanish",
    "swedish", "tamil", "turkish", "yiddish",
)  # fmt: skip
"""The languages of Snowball besides English."""

_SNOWBALL = "Porter, Snowball: A language for stemming algorithms, 2001"


@hookimpl
def kinds() -> Iterator[Kind]:
    yield Kind(
        "analyzer",
        "texts → tokens",
        {"": "spaniel_text.protocol:Analyzer"},
        hookspecs="spaniel_text.hookspecs",
    )


@hookimpl
def analyzer() -> Iterator[Component]:
    def words(name: str, summary: str, paper: str = "", **options: str) -> Component:
        config, factory = "spaniel_text.config:Words", "spaniel_text.words:WordAnalyzer"
        return Component(name, config=config, factory=factory, summary=summary, paper=paper, options=options)

    yield words("words", "lower-cased words of two letters or more")
    yield words(
        "english", "English words without stop words, stemmed", _SNOWBALL, stemmer="english", stopwords="english"
    )
    for language in SNOWBALL:
        yield words(language, f"{language.capitalize()} words, stemmed", _SNOWBALL, stemmer=language)
    yield Component(
        "char-ngrams",
        config="spaniel_text.config:CharNgrams",
        factory="spaniel_text.ngrams:NgramAnalyzer",
        summary="character n-grams within words, for any language",
        paper="McNamee and Mayfield, Character N-Gram Tokenization for European Language Text Retrieval, 2004",
    )
    yield Component(
        "chinese",
        config="spaniel_text.config:Chinese",
        factory="spaniel_text.chinese:ChineseAnalyzer",
        summary="Chinese words, segmented by jieba",
        extra="chinese",
    )
