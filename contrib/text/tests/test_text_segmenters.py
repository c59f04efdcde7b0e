"""Languages that no space divides, and Korean, by the segmenters of the extras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spaniel import Context, UsageError
from spaniel.plugins import load_registry
from spaniel_text.protocol import Analyzer
from spaniel_text.segmented import pieces

LIBRARIES = {"chinese": "jieba", "japanese": "sudachipy", "korean": "kiwipiepy", "thai": "pythainlp"}
LANGUAGES = [
    "chinese",
    "japanese",
    pytest.param("korean", marks=pytest.mark.slow(reason="its model takes seconds to load")),
    "thai",
]
SAMPLES = {
    "chinese": (
        "我来到北京清华大学。ＡＢ １２",
        ["我", "来到", "北京", "清华", "华大", "大学", "清华大学", "ab", "12"],
    ),
    "japanese": ("東京都で寿司を食べた。ｺﾝﾋﾟｭｰﾀ", ["東京", "都", "寿司", "食べる", "コンピューター"]),
    "korean": ("서울에서 맛있는 음식을 먹었습니다. ＡBC 2024년", ["서울", "맛있", "음식", "먹", "abc", "2024", "년"]),
    "thai": ("ภาษาไทยค้นหาข้อมูลน้ำ ABC ๑๒๓", ["ภาษาไทย", "ค้นหา", "ข้อมูล", "น้ำ", "abc", "123"]),
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


def analyzer(context: Context, language: str, options: str = "") -> Analyzer:
    pytest.importorskip(LIBRARIES[language], reason=f"the extra `{language}` is not installed")
    made: Analyzer = context.create("analyzer", language + options)
    return made


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_and_their_places(context: Context, language: str) -> None:
    one = analyzer(context, language)
    text, words = SAMPLES[language]
    assert one.analyze([text, "", text]).lists() == [words, [], words]
    spans = one.spans(text)
    assert [span.term for span in spans] == words
    for span in spans:
        shown = text[span.start : span.end]
        assert shown.strip() == shown != ""
        assert span.term in one.analyze([shown]).lists()[0]
    assert any(LIBRARIES[language] in name for name in one.fingerprint())


@pytest.mark.parametrize("language", LANGUAGES)
def test_odd_texts(context: Context, language: str) -> None:
    one = analyzer(context, language)
    for text in [
        "",
        " \n",
        "。…!",
        "\ud800",
        "a\ud800b",
        "👩🏽‍💻",
        "x" * 60_000,
        "あ。" * 30_000,
        "ก" * 3000,
        "\u200b\u200d",
    ]:
        tokens = one.analyze([text]).lists()[0]
        if len(text) < 100:
            assert [span.term for span in one.spans(text)] == tokens
            assert all(any(char.isalnum() for char in token) for token in tokens)


def test_chinese_in_the_default_mode(context: Context) -> None:
    tokens = analyzer(context, "chinese", "(search=false)").analyze(["清华大学"]).lists()
    assert tokens == [["清华大学"]]


def test_function_words_can_be_kept(context: Context) -> None:
    assert "を" in analyzer(context, "japanese", "(function_words=true)").analyze(["寿司を食べた"]).lists()[0]


def test_long_japanese_texts_are_whole(context: Context) -> None:
    text = "寿司を食べた。" * 4000
    tokens = analyzer(context, "japanese").analyze([text]).lists()[0]
    assert tokens == ["寿司", "食べる"] * 4000


def test_a_dictionary_that_is_not_installed(context: Context) -> None:
    pytest.importorskip("sudachipy", reason="the extra `japanese` is not installed")
    try:
        import sudachidict_full  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(UsageError, match="pip install"):
            context.create("analyzer", "japanese(dictionary=full)").analyze(["寿司"])  # type: ignore[attr-defined]
    else:
        pytest.skip("the dictionary is installed")


@pytest.mark.slow
def test_thai_leaves_the_home_folder_alone(tmp_path: Path) -> None:
    pytest.importorskip("pythainlp", reason="the extra `thai` is not installed")
    code = "from spaniel_text.thai import ThaiAnalyzer; from spaniel_text.config import Thai; "
    code += "print(ThaiAnalyzer(Thai(), None).analyze(['ภาษาไทย']).lists())"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "HOME": str(tmp_path)})
    assert not list(tmp_path.glob("pythainlp*"))


@pytest.mark.parametrize("language", sorted(LIBRARIES))
def test_a_missing_extra_says_what_to_install(tmp_path: Path, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[language], None)
    monkeypatch.delitem(sys.modules, f"spaniel_text.{language}", raising=False)
    needs = rf"analyzer `{language}` needs {LIBRARIES[language]}, which is not installed"
    with pytest.raises(UsageError, match=rf'{needs}: pip install "spaniel-text\[{language}\]"'):
        Context(tmp_path, registry=load_registry()).create("analyzer", language)


def test_pieces_are_cut_at_ends_of_sentences() -> None:
    text = "abc. defg hi" * 3
    found = list(pieces(text, 10))
    assert "".join(piece for _, piece in found) == text
    assert all(text[start:].startswith(piece) and len(piece) <= 10 for start, piece in found)
    assert found[0] == (0, "abc. defg ")
    assert list(pieces("", 5)) == [(0, "")]
    assert [piece for _, piece in pieces("x" * 11, 5)] == ["xxxxx", "xxxxx", "x"]
