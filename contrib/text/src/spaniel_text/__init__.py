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

_OPTIONS = {"greek": {"single_letters": True}, "turkish": {"dotless_i": True}}
"""What languages need beside their stemmers: in Greek, ο and η are words, not the variables of a formula."""

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
    def words(name: str, summary: str, paper: str = "", **options: str | bool) -> Component:
        config, factory = "spaniel_text.config:Words", "spaniel_text.words:WordAnalyzer"
        return Component(name, config=config, factory=factory, summary=summary, paper=paper, options=options)

    yield words("words", "words of every script, their case folded")
    yield words(
        "english", "English words without stop words, stemmed", _SNOWBALL, stemmer="english", stopwords="english"
    )
    for language in SNOWBALL:
        more = _OPTIONS.get(language, {})
        yield words(language, f"{language.capitalize()} words, stemmed", _SNOWBALL, stemmer=language, **more)
    yield Component(
        "char-ngrams",
        config="spaniel_text.config:CharNgrams",
        factory="spaniel_text.ngrams:NgramAnalyzer",
        summary="character n-grams within words, for any language",
        paper="McNamee and Mayfield, Character N-Gram Tokenization for European Language Text Retrieval, 2004",
    )

    def segmented(name: str, summary: str) -> Component:
        config, factory = f"spaniel_text.config:{name.title()}", f"spaniel_text.{name}:{name.title()}Analyzer"
        return Component(name, config=config, factory=factory, summary=summary, extra=name)

    yield segmented("chinese", "Chinese words, segmented by jieba")
    yield segmented("japanese", "Japanese words in their normal forms, by Sudachi")
    yield segmented("korean", "stems of Korean words, by Kiwi")
    yield segmented("thai", "Thai words, segmented by PyThaiNLP")
