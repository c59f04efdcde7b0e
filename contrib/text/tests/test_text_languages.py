"""Every language that is offered finds the words of its own script and orthography."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context
from spaniel_text import SNOWBALL
from spaniel_text.protocol import Analyzer

SAMPLES = {
    "arabic": ("الكِتَابُ والقَلَمُ ٢٠٢٤، كتـــاب", "الكتاب والقلم 2024 كتاب"),
    "armenian": ("Ինչպե՞ս ես, բարեւ՛ Հայաստան։", "ինչպես ես բարեւ հայաստան"),
    "basque": ("Euskal Herriko etxea, kaixo!", "euskal herriko etxea kaixo"),
    "catalan": ("La col·lecció de l'Àngel és aquí", "la col·lecció de àngel és aquí"),
    "czech": ("Příliš žluťoučký kůň", "příliš žluťoučký kůň"),
    "danish": ("Ærø og Århus på øen", "ærø og århus på øen"),
    "dutch": ("Het ĳs smelt; één reünie", "het ijs smelt één reünie"),
    "esperanto": ("Ĉiuj ĝardenoj ŝanĝiĝas", "ĉiuj ĝardenoj ŝanĝiĝas"),
    "estonian": ("Õunapuu öösel šokk", "õunapuu öösel šokk"),
    "finnish": ("Yö kylmällä järvellä", "yö kylmällä järvellä"),
    "french": ("L’élève naïve où ça cœur", "élève naïve où ça cœur"),
    "german": ("Größe der STRASSE, Straße für Mädchen", "grösse der strasse strasse für mädchen"),
    "greek": ("Ο ΟΔΟΣ, η οδός των Ελλήνων", "ο οδος η οδός των ελλήνων"),
    "hindi": ("हिन्दी भाषा में खोज। न क़लम १२३", "हिन्दी भाषा में खोज न क़लम 123"),
    "hungarian": ("Árvíztűrő tükörfúrógép", "árvíztűrő tükörfúrógép"),
    "indonesian": ("Anak-anak membaca buku", "anak anak membaca buku"),
    "irish": ("An bhFuil an t-uisce ólta?", "an bhfuil an uisce ólta"),
    "italian": ("L'università è più città", "università più città"),
    "lithuanian": ("Žmonės ąžuolas ėjo į šalį", "žmonės ąžuolas ėjo šalį"),
    "nepali": ("नेपालको भाषामा म किताब पढ्छु", "नेपालको भाषामा म किताब पढ्छु"),
    "norwegian": ("Være på øya blåbær", "være på øya blåbær"),
    "persian": ("کتاب‌های خوب می‌خواهم ۱۲۳", "کتابهای خوب میخواهم 123"),
    "polish": ("Zażółć gęślą jaźń łódź", "zażółć gęślą jaźń łódź"),
    "portuguese": ("A educação não é fácil", "educação não fácil"),
    "romanian": ("Ştiinţă și țară în română", "ştiinţă și țară în română"),
    "russian": ("Я люблю ёлку и книги", "я люблю ёлку и книги"),
    "serbian": ("Љубав и ђак, čovek Ǆep", "љубав и ђак čovek džep"),
    "sesotho": ("Bana ba bala libuka", "bana ba bala libuka"),
    "spanish": ("El niño comió piñas y más", "el niño comió piñas más"),
    "swedish": ("Räksmörgås på Åland", "räksmörgås på åland"),
    "tamil": ("தமிழ் மொழியில் தேடல் ஈ", "தமிழ் மொழியில் தேடல் ஈ"),
    "turkish": ("İstanbul'da IĞDIR ılık IŞIK", "istanbul da ığdır ılık ışık"),
    "yiddish": ("ייִדיש אַרבעט און ײַן צה״ל", "ייִדיש אַרבעט און ײַן צהל"),
}
"""Of each language a text, and its words as the stemmer is to get them."""


@pytest.fixture(scope="module")
def create(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Analyzer]:
    context = Context(tmp_path_factory.mktemp("store"))
    return lambda expression: context.create("analyzer", expression)  # type: ignore[return-value]


def tokens(create: Callable[[str], Analyzer], expression: str, text: str) -> list[str]:
    return create(expression).analyze([text]).lists()[0]


def test_every_language_has_a_sample() -> None:
    assert set(SAMPLES) == set(SNOWBALL)


@pytest.mark.parametrize("language", SNOWBALL)
def test_words_of_a_language_are_whole_and_stemmed(create: Callable[[str], Analyzer], language: str) -> None:
    import unicodedata

    import Stemmer

    text, words = SAMPLES[language]
    stems = Stemmer.Stemmer(language).stemWords(unicodedata.normalize("NFC", words).split())
    assert tokens(create, language, text) == stems


@pytest.mark.parametrize("language", [*SNOWBALL, "english"])
@pytest.mark.parametrize("expression", ["{}", "words", "char-ngrams(n=3)"])
def test_a_word_of_a_text_finds_the_text(create: Callable[[str], Analyzer], language: str, expression: str) -> None:
    text = SAMPLES.get(language, ("Words running through texts", ""))[0]
    analyzer = create(expression.format(language))
    found = set(analyzer.analyze([text]).lists()[0])
    for word in create("words").spans(text):
        asked = analyzer.analyze([text[word.start : word.end]]).lists()[0]
        assert asked
        assert set(asked) <= found


@pytest.mark.parametrize(
    ("expression", "one", "other"),
    [
        ("arabic", "كِتَابٌ", "كتاب"),
        ("yiddish", "אַרבעט", "ארבעט"),
        ("words", "E\u0301le\u0300ve", "Élève"),
        ("char-ngrams", "E\u0301le\u0300ve", "Élève"),
        ("english", "ｆｕｌｌ", "full"),
        ("english", "ﬁsh", "fish"),
        ("words", "𝐟𝐮𝐥𝐥 Ⅳ", "full IV"),
        ("words", "5㎏ H₂O m²", "5kg H2O m2"),
        ("words", "STRASSE", "Straße"),
        ("words", "ΟΔΟΣ", "οδοσ"),
        ("words", "İstanbul", "istanbul"),
        ("words", "I\u0307stanbul", "istanbul"),
        ("turkish", "I\u0307stanbul", "İstanbul"),
        ("words(dotless_i=true)", "IĞDIR", "ığdır"),
        ("words", "co\u00adope\u200crate\u200d \u200ehe\u2060re\ufeff", "cooperate here"),
        ("words", "कर्\u200dम", "कर्म"),
        ("words", "葛\U000e0100城", "葛城"),
        ("words", "२०२४ ٢٠٢٤ ๒๐๒๔ ۲۰۲۴", "2024 2024 2024 2024"),
        ("words", "ｶﾞｷﾞ", "ガギ"),
        ("words", "\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),
        ("words", "น\u0e4d\u0e49\u0e32", "น\u0e49\u0e4d\u0e32"),
        ("words", "Xarelto™ 2½", "Xarelto 2"),
        ("words", "ab\ud800cd", "ab cd"),
    ],
)
def test_spellings_of_one_word_meet(create: Callable[[str], Analyzer], expression: str, one: str, other: str) -> None:
    assert tokens(create, expression, one) == tokens(create, expression, other) != []


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        (
            "words",
            "Élève don't rock-n-roll __init__ x86 3.14",
            ["élève", "don", "rock", "roll", "__init__", "x86", "14"],
        ),
        ("words", "x̄ β TGF-β C 7 µ ß", ["tgf"]),
        ("words(single_letters=true)", "x̄ β C 7", ["x̄", "β", "c", "7"]),
        ("words", "न म я 中 ア 가 ก", ["न", "म", "я", "中", "ア", "가", "ก"]),
        ("words", "👩🏽‍💻 👍🏿 ❤️ 1️⃣ ok", ["ok"]),
        ("words", "\u0301a\u0301b ´´ \u200d", ["áb"]),
        ("words", "mol·L mmol·l a·b", ["mol", "mmol"]),
        ("words", "ala\u200bbala", ["ala", "bala"]),
        ("words(normalization=nfc)", "ｆｕｌｌ E\u0301lan ١٢", ["ｆｕｌｌ", "élan", "١٢"]),
        ("words(normalization=none)", "ﬁn E\u0301lan می‌خواهم", ["fin", "e\u0301lan", "می‌خواهم"]),
        ("words(lowercase=false)", "ＦｕＬＬ Straße", ["FuLL", "Straße"]),
        ('words(pattern="[a-z]+")', "Ab1CD", ["ab", "cd"]),
        ('words(pattern="#(\\\\w+)")', "say #Yes or #No", ["yes", "no"]),
        ('words(pattern="\\\\S+")', "a\ud800 ｂ", ["a\ufffd", "b"]),
        ('words(pattern="x*")', "axx", ["xx"]),
        ("english(stopwords=['FÜR'])", "Für fur", ["fur"]),
        ("char-ngrams(n=2)", "हिन्दी", ["हिन्दी"]),
        ("char-ngrams(n=1)", "भाषा é", ["भा", "षा", "é"]),
        ("char-ngrams(n=2)", "ภาษา", ["ภา", "าษ", "ษา"]),
        ("char-ngrams(n=2)", "မြန်မာ", ["မြန်", "န်မ", "မာ"]),
        ("char-ngrams(n=3)", "東京都庁 ab", ["東京都", "京都庁", "ab"]),
    ],
)
def test_words(create: Callable[[str], Analyzer], expression: str, text: str, expected: list[str]) -> None:
    assert tokens(create, expression, text) == expected
    assert [span.term for span in create(expression).spans(text)] == expected


def write(folder: Path, documents: list[str], queries: list[tuple[str, int]]) -> Path:
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": f"d{n}", "text": text}) for n, text in enumerate(documents)]
    (folder / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    lines = [json.dumps({"_id": f"q{n}", "text": text}) for n, (text, _) in enumerate(queries)]
    (folder / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
    judged = "".join(f"q{n}\td{row}\t1\n" for n, (_, row) in enumerate(queries))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
    return folder


DOCUMENTS = [
    "हिन्दी भाषा में खोज",
    "गंगा नदी हिमालय से निकलती है",
    "दिल्ली की रेलगाड़ी न",
    "كِتَابٌ عَرَبِيٌّ",
    "E\u0301le\u0300ve de l'e\u0301cole",
    "தமிழ் மொழியில் தேடல்",
    "ａ ｆｕｌｌ ｗｉｄｔｈ ﬁsh",
]


@pytest.mark.parametrize("analyzer", ["hindi", "words", "char-ngrams(n=2)"])
def test_each_word_of_a_document_finds_it(tmp_path: Path, run_cli: Any, analyzer: str) -> None:
    pytest.importorskip("spaniel_bm25", reason="the index is BM25's")
    queries = [(word, row) for row, text in enumerate(DOCUMENTS) for word in text.split() if word != "ａ"]
    folder = write(tmp_path / "folder", DOCUMENTS, queries)
    systems = run_cli("compare", f"bm25(analyzer={analyzer})", str(folder), "--json").json["systems"]
    assert systems[0]["measures"]["nDCG@10"] == 1.0
