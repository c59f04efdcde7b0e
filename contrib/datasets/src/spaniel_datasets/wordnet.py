"""A collection of known items made from an installed WordNet.

Documents are synsets: their words as title, their definition as text. Queries are the usage examples in the glosses, each
with its synset as the one relevant document. The format of the data files is described in wndb(5WN).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spaniel import Document, Qrels, Queries, UsageError
from spaniel.data import documents_need
from spaniel.store import Need

from spaniel_datasets.config import WordNet as Options

if TYPE_CHECKING:
    from spaniel import Context

FILES = {"n": "data.noun", "v": "data.verb", "a": "data.adj", "r": "data.adv"}
_EXAMPLE = re.compile(r'"([^"]+)"')
_PLACES = ("/usr/share/wordnet", "/usr/local/WordNet-3.0/dict", "/usr/share/wordnet-3.0")


class Synset(NamedTuple):
    """One line of a data file."""

    id: str
    words: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]


def dataset(config: Options, context: Context) -> WordNet:
    """Return the collection."""
    return WordNet(find_folder(config.path), config.min_words, context)


def find_folder(path: str | None) -> Path:
    """Return the folder of the data files.

    Raises:
        UsageError: there is none.
    """
    home = os.environ.get("WNHOME")
    places = [path] if path else [os.environ.get("WNSEARCHDIR"), home and f"{home}/dict", *_PLACES]
    for place in places:
        if place and (Path(place).expanduser() / FILES["n"]).is_file():
            return Path(place).expanduser()
    looked = ", ".join(str(p) for p in places if p)
    raise UsageError(
        f'no WordNet in {looked}: install one (Debian: wordnet-base) or name its folder, as in wordnet(path="/my/dict")'
    )


def read_synsets(folder: Path) -> Iterator[Synset]:
    """Read every synset of the four data files.

    Raises:
        UsageError: a line is malformed; the message has its file and number.
    """
    for part, name in FILES.items():
        file = folder / name
        with file.open(encoding="utf-8", errors="strict") as lines:
            for number, line in enumerate(lines, 1):
                if line.startswith("  "):
                    continue  # the licence
                fields, bar, gloss = line.partition(" | ")
                columns = fields.split()
                try:
                    count = int(columns[3], 16)
                    words = tuple(w.partition("(")[0].replace("_", " ") for w in columns[4 : 4 + 2 * count : 2])
                except (IndexError, ValueError):
                    raise UsageError(f"{file}:{number}: no line of a WordNet data file") from None
                if not bar or len(words) != count:
                    raise UsageError(f"{file}:{number}: no line of a WordNet data file")
                examples = tuple(example.strip() for example in _EXAMPLE.findall(gloss))
                definition = _EXAMPLE.sub("", gloss).strip(" ;:-\n\t,.")
                yield Synset(f"{part}{columns[0]}", words, re.sub(r"(\s*[;,:-]\s*)+$", "", definition), examples)


class WordNet:
    """The collection; it has one split, ``test``."""

    name = "wordnet"
    splits = ("test",)

    def __init__(self, folder: Path, min_words: int, context: Context) -> None:
        self.folder = folder
        self.min_words = min_words
        self.context = context

    def documents(self) -> Need:
        """One document a synset, without its examples."""
        inputs = {name: self.context.store.digest_of(self.folder / name) for name in FILES.values()}
        return documents_need(self._documents, "spaniel-datasets/wordnet", inputs)

    def _documents(self) -> Iterator[Document]:
        for synset in read_synsets(self.folder):
            yield Document(synset.id, ", ".join(synset.words), synset.definition, {"words": list(synset.words)})

    def queries(self, split: str) -> Queries:
        """Every example of at least ``min_words`` words."""
        return self._items[0]

    def qrels(self, split: str) -> Qrels:
        """The synset of each example, grade 1; the same example of several synsets has them all."""
        return self._items[1]

    @cached_property
    def _items(self) -> tuple[Queries, Qrels]:
        owners: dict[str, list[str]] = {}
        for synset in read_synsets(self.folder):
            for example in synset.examples:
                if len(example.split()) >= self.min_words and synset.id not in owners.get(example, ()):
                    owners.setdefault(example, []).append(synset.id)
        ids = [f"e{number:05d}" for number in range(1, len(owners) + 1)]
        grades = {i: dict.fromkeys(synsets, 1) for i, synsets in zip(ids, owners.values(), strict=True)}
        return Queries.from_lists(ids, list(owners)), Qrels(grades)
