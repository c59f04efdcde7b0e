"""Analyzers give the tokens of the libraries and lists that they stand on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, UsageError
from spaniel_text import SNOWBALL
from spaniel_text.protocol import Analyzer, Tokens


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


def analyzer(context: Context, expression: str) -> Analyzer:
    made: Analyzer = context.create("analyzer", expression)
    return made


TEXTS = st.lists(st.text("abcdeé ,.-'_0THEthersing runningdés\n", max_size=60), max_size=8)


@given(TEXTS)
@settings(max_examples=80, deadline=None)
def test_english_gives_the_tokens_of_bm25s(context: Context, texts: list[str]) -> None:
    bm25s = pytest.importorskip("bm25s", reason="bm25s is the oracle")
    import Stemmer

    theirs = bm25s.tokenize(
        texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    assert analyzer(context, "english").analyze(texts).lists() == theirs


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_text_does_not_depend_on_the_others(context: Context, texts: list[str]) -> None:
    for expression in ("english", "words", "char-ngrams(n=3)"):
        one = analyzer(context, expression)
        alone = [one.analyze([text]).lists()[0] for text in texts]
        assert one.analyze(texts).lists() == alone


@pytest.mark.parametrize("language", SNOWBALL)
def test_every_language_stems_as_snowball_does(context: Context, language: str) -> None:
    import Stemmer

    words = ["houses", "häuser", "livres", "дома", "casas", "running"]
    expected = list(Stemmer.Stemmer(language).stemWords([w.lower() for w in words]))
    assert analyzer(context, language).analyze([" ".join(words)]).lists() == [expected]


def test_stop_words_are_removed_before_stemming(context: Context) -> None:
    tokens = analyzer(context, "german(stopwords=[der, die])").analyze(["Der Hund und die Hunde"]).lists()
    assert tokens == [["hund", "und", "hund"]]


@given(st.text("abcdé 12", max_size=40), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_ngrams_are_those_of_a_plain_loop(context: Context, text: str, n: int) -> None:
    expected = []
    for word in re.findall(r"\w+", text.lower()):
        expected += [word[i : i + n] for i in range(max(1, len(word) - n + 1))]
    assert analyzer(context, f"char-ngrams(n={n})").analyze([text]).lists() == [expected]


def test_chinese_words(context: Context) -> None:
    pytest.importorskip("jieba", reason="the extra `chinese` is not installed")
    tokens = analyzer(context, "chinese").analyze(["我来到北京清华大学。"]).lists()[0]
    assert {"北京", "清华", "大学", "清华大学"} <= set(tokens)
    assert "。" not in tokens


def test_no_texts_and_empty_texts(context: Context) -> None:
    for expression in ("english", "words", "char-ngrams"):
        assert len(analyzer(context, expression).analyze([])) == 0
        tokens = analyzer(context, expression).analyze(["", " ", "!"])
        assert isinstance(tokens, Tokens)
        assert tokens.offsets.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("expression", "said"),
    [("words(stemmer=klingon)", "no Snowball stemmer"), ('words(pattern="(")', "no regular expression")],
)
def test_options_that_no_analyzer_can_honour_are_refused(context: Context, expression: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        context.bind("analyzer", expression)


def test_the_library_that_stems_is_part_of_the_fingerprint(context: Context, tmp_path: Path) -> None:
    assert "pystemmer" in analyzer(context, "english").fingerprint()
    assert "pystemmer" not in analyzer(context, "words").fingerprint()
