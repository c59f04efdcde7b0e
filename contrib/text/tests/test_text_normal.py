"""Texts are spelt as Unicode says, and every token knows its place in the text as it was given."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spaniel import Context
from spaniel_text.characters import INVISIBLE, digits, is_plain, marks, members
from spaniel_text.normal import Normalizer
from spaniel_text.protocol import Analyzer
from spaniel_text.segments import _PLAIN, _unicode, find_words

FORMS = ("nfkc", "nfc", "none")
HARD = (
    "aé E\u0301\u0327ﬁ½™ｶﾞ\u1112\u1161\u11abﾡￂ각हिन्दीक़தமிழ்كِتـابٌ\u200c\u200d\u00ad\u200b\ufeffİIıßẞςΣΐาน้ำ\u0e4d\u0e32\u0eb2㎏Ⅳⅳ𝐟１٣३"
    "l·L'’՞״\u0d28\u0d4d\u09a4\u09cd\ud800\udfff葛\U000e0100👍🏿ŉǰĀ\u0345ᾳ\u0301 \n_-.ΟΔΟΣﷺ⑴"
)
TEXTS = st.text(st.one_of(st.sampled_from(HARD), st.characters(codec=None)), max_size=30)
PLAIN = st.text(st.sampled_from([char for char in map(chr, range(0x2300)) if is_plain(char)]), max_size=30)


@given(TEXTS, st.sampled_from(FORMS), st.booleans(), st.booleans())
@example("l·l", "nfkc", True, False)
@settings(max_examples=200, deadline=None)
def test_a_text_is_spelt_the_same_with_and_without_its_places(text: str, form: str, fold: bool, dotless: bool) -> None:
    normal = Normalizer(form, fold, dotless)  # type: ignore[arg-type]
    aligned = normal.aligned(text)
    assert aligned.text == normal(text)
    assert len(aligned.starts) == len(aligned.ends) == len(aligned.text)
    assert aligned.starts == sorted(aligned.starts)
    assert all(0 <= start < end <= len(text) for start, end in zip(aligned.starts, aligned.ends, strict=True))


@given(TEXTS, st.sampled_from(FORMS))
@settings(max_examples=200, deadline=None)
def test_a_text_that_is_spelt_stays_as_it_is(text: str, form: str) -> None:
    normal = Normalizer(form)  # type: ignore[arg-type]
    assert normal(normal(text)) == normal(text)
    if form != "none":
        assert normal(unicodedata.normalize("NFD", text)) == normal(unicodedata.normalize("NFC", text))


@given(PLAIN, st.booleans())
@settings(max_examples=200, deadline=None)
def test_plain_texts_have_the_words_of_the_general_pattern(text: str, single: bool) -> None:
    assert is_plain(text)
    assert _PLAIN[single].findall(text) == _unicode(single, False).findall(text)


@given(st.text("abc éß'_-0, BÉ", max_size=40))
@settings(max_examples=200, deadline=None)
def test_latin_words_are_those_of_the_standard_library(text: str) -> None:
    lone = re.sub(r"\bß\b", "β", text)
    assert find_words(text) == re.findall(r"\w+", lone.casefold())


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("expression", ["english", "hindi", "turkish", "char-ngrams(n=2)", 'words(pattern="[^ ]+")'])
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_spans_are_the_tokens(context: Context, expression: str, text: str) -> None:
    analyzer: Analyzer = context.create("analyzer", expression)  # type: ignore[assignment]
    spans = analyzer.spans(text)
    assert [span.term for span in spans] == analyzer.analyze([text]).lists()[0]
    assert [span.start for span in spans] == sorted(span.start for span in spans)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("english", "The ﬁshes’ fins", {"fish": "ﬁshes", "fin": "fins"}),
        ("hindi", "हिन्दी भाषा में", {"हिन्द": "हिन्दी", "भाष": "भाषा", "म": "में"}),
        (
            "words",
            "E\u0301le\u0300ve 5㎏ co\u00adop",
            {"élève": "E\u0301le\u0300ve", "5kg": "5㎏", "coop": "co\u00adop"},
        ),
        ("words", "½ İx ﷺ", {"ix": "İx", "صلى": "ﷺ", "الله": "ﷺ", "عليه": "ﷺ", "وسلم": "ﷺ"}),
        ("turkish", "IŞIĞI", {"ışık": "IŞIĞI"}),
        ("char-ngrams(n=2)", "ﬁx ｶﾞギ", {"fi": "ﬁ", "ix": "ﬁx", "ガギ": "ｶﾞギ"}),
    ],
)
def test_places_are_those_of_the_original_text(
    context: Context, expression: str, text: str, expected: dict[str, str]
) -> None:
    analyzer: Analyzer = context.create("analyzer", expression)  # type: ignore[assignment]
    assert {span.term: text[span.start : span.end] for span in analyzer.spans(text)} == expected


def test_the_classes_of_characters_are_those_of_unicode() -> None:
    everything = [chr(code) for code in range(0x110000)]
    found = {char for char in everything if unicodedata.category(char)[0] == "M"}
    assert found <= members(marks())
    assert {char for char in everything if char.isdecimal()} - set("0123456789") <= members(digits())
    assert {char for char in members(marks()) if char < "\U00010000"} == members(marks(astral=False))
    ignorable = members(INVISIBLE)
    assert {"\u00ad", "\u200c", "\u200d", "\u2060", "\ufe0f", "\ufeff", "\u202e"} <= ignorable
    assert "\u200b" not in ignorable
    assert not any(char.isalnum() for char in ignorable - set("\u115f\u1160\u3164\uffa0"))


@pytest.mark.parametrize(
    "text", ["a" + "\u0301\u0316" * 100_000, "\u1160" * 100_000 + "x", "ß\u0301" * 50_000, "l·" * 50_000]
)
def test_odd_texts_take_no_more_than_their_length(text: str) -> None:
    begun = time.process_time()
    find_words(text)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("older", "newer"),
    [("അവന്\u200d", "അവൻ"), ("കാര്\u200d", "കാർ"), ("പാല്\u200d", "പാൽ"), ("অকস্মাত্\u200d", "অকস্মাৎ")],
)
def test_letters_that_older_texts_write_with_a_joiner(older: str, newer: str) -> None:
    assert older != newer
    assert find_words(older) == find_words(newer) == [newer]
    assert find_words("ശ്രീ ക്\u200cഷ ର୍\u200dକ") == ["ശ്രീ", "ക്ഷ", "ର୍କ"]
