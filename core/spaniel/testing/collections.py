"""Small test collections: an ordinary one, and some that real ones become when nobody looks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from spaniel.data import Corpus, Document, Qrels, Queries, write_folder
from spaniel.errors import UsageError

VARIANTS = ("plain", "empty", "odd", "unicode", "megabyte")
"""``plain`` has 24 documents and 6 queries; ``empty`` no document; ``odd`` empty and repeated texts, one document twice
under two ids, texts of punctuation alone; ``unicode`` many scripts, combining and invisible characters; ``megabyte``
one document of a million characters among others."""

_TOPICS = {
    "dog": "The spaniel is a gun dog that flushes game from cover and retrieves it from water",
    "cat": "A cat sleeps most of the day and hunts mice and birds at dusk and at dawn",
    "ship": "The ship left the harbour with the tide and sailed along the coast to the north",
    "bread": "Bread is baked from flour, water, salt and yeast in a hot oven for half an hour",
    "star": "A star shines because hydrogen fuses into helium in its core under great pressure",
    "river": "The river rises in the mountains and flows through the valley down to the sea",
}
_TURNS = ("", " Many people know this.", " In winter it is different, as books tell.", " So says the keeper, at least.")
_GUIDE_DOG = "\U0001f415\u200d\U0001f9ba"
"""One picture of three characters."""


class Collection(NamedTuple):
    """Documents, queries, and judgments with grades 0, 1 and 2."""

    documents: tuple[Document, ...]
    queries: Queries
    qrels: Qrels

    def corpus(self) -> Corpus:
        """Return the documents as a corpus."""
        return Corpus.from_documents(self.documents)

    def write(self, folder: Path) -> Path:
        """Write a folder in BEIR layout, with one split ``test``, and return it."""
        write_folder(folder, self.documents, self.queries, {"test": self.qrels})
        return folder


def collection(variant: str = "plain") -> Collection:
    """Return one of the small collections, see :data:`VARIANTS`.

    Raises:
        UsageError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise UsageError(f"there is no variant {variant!r}; there are: {', '.join(VARIANTS)}")
    plain = [
        Document(f"{topic}-{number}", topic.title(), text + turn)
        for topic, text in _TOPICS.items()
        for number, turn in enumerate(_TURNS)
    ]
    queries = _queries(
        dog="which dog retrieves game from water",
        cat="what does a cat hunt at dusk",
        ship="ship sailing along the coast",
        bread="how is bread baked",
        star="why does a star shine",
        river="where does the river flow",
    )
    grades = {topic: {f"{topic}-{number}": 2 - number for number in range(3)} for topic in _TOPICS}
    if variant == "plain":
        return Collection(tuple(plain), queries, Qrels(grades))
    if variant == "empty":
        return Collection((), queries, Qrels({}))
    if variant == "odd":
        return _with(plain, _odd(plain[0]), _queries(blank="", mark="?!", dog="dog", twice="dog dog dog"))
    if variant == "unicode":
        queries = _queries(greek="ΣΊΣΥΦΟΣ", cjk="東京 の 犬", emoji=_GUIDE_DOG, rtl="כלב מים", dog="dog")
        return _with(plain, _unicode(), queries)
    return _with(plain, [Document("megabyte", "Long", "the river flows down to the sea, " * 31_000)], queries)


def _with(plain: list[Document], others: Iterable[Document], queries: Queries) -> Collection:
    grades = {name: {"dog-0": 2, "dog-1": 1, "dog-2": 0} for name in queries.ids}
    return Collection((*plain, *others), queries, Qrels(grades))


def _queries(**texts: str) -> Queries:
    return Queries.from_lists(list(texts), list(texts.values()))


def _odd(document: Document) -> list[Document]:
    return [
        Document("copy", document.title, document.text),
        Document("no-text"),
        Document("title-only", "Dog"),
        Document("blank", " ", "\t\n "),
        Document("marks", "", "... !!! --- ???"),
        Document("numbers", "", "0 00 1e9 3.14 -7"),
        Document("one-word", "", "dog " * 500),
        Document("markup", "", "<b>dog</b> &amp; {{dog}} %s \\n"),
        Document("with-metadata", "", "dog", {"year": 1908, "tags": ["a", None], "nested": {"x": 0.5}}),
    ]


def _unicode() -> list[Document]:
    return [
        Document("greek", "Σίσυφος", "ο Σίσυφος κυλά τον βράχο"),
        Document("cjk", "東京", "東京の犬は水が好きです"),
        Document("rtl", "", "כלב מים וכלבה אוהבים מים"),
        Document("thai", "", "สุนัขชอบน้ำมาก"),
        Document("emoji", "", f"{_GUIDE_DOG} dog"),
        Document("combining", "", "Cafe\u0301 and caf\u00e9, A\u030angstrom and \u00e5ngstr\u00f6m"),
        Document("invisible", "", "do\u00adg do\u200bg \ufeffdog \u202edog"),
        Document("astral", "", "𝕕𝕠𝕘 𐍈 𒀀"),
        Document("dotless", "İstanbul", "IĞDIR ığdır ŞİŞLİ şişli ß ẞ ﬁ"),
    ]
