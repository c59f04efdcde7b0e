"""A tokenizer of the base's own kind for the texts of a collection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaniel import Context
from spaniel.collections import find_dataset
from spaniel.indexing import open_corpus
from spaniel.store import Draft, Need, Recipe, canonical_json, digest_bytes
from spaniel_neural.loading import quietly

from spaniel_omp_tokenizer.layout import read_tokenizer

VERSION = "1"
"""Version of the rules of training; part of the address."""
_FOLDER = "tokenizer"
_BATCH = 1000


def trained_tokenizer(context: Context, collection: str, tokens: int, base: Path) -> Any:
    """Return a tokenizer that was trained on a collection; one that was trained before is read from the store.

    Its model (WordPiece, BPE, Unigram), normaliser, pre-tokenizer, special tokens and frame are the base's: the vocabulary
    alone is new. Characters that the base knows it knows, too.

    Args:
        context: the session.
        collection: whose documents, with their titles, are read.
        tokens: how many it has, at most.
        base: folder of the base's transformer.
    """
    artifact = context.obtain(_need(context, collection, tokens, base))
    return read_tokenizer(artifact.path / _FOLDER)


def _need(context: Context, collection: str, tokens: int, base: Path) -> Need:
    documents = find_dataset(context, collection).documents()
    ours = read_tokenizer(base)
    said = json.loads(ours.backend_tokenizer.to_str())

    def build(draft: Draft) -> None:
        corpus = open_corpus(context, documents)
        advance = draft.progress(len(corpus), "documents")

        def texts() -> Iterator[list[str]]:
            # Twice the same letter is one that begins a word, and one that goes on with it.
            yield [letter * 2 for letter in sorted(set("".join(_letters(said))))]
            for start in range(0, len(corpus), _BATCH):
                rows = range(start, min(start + _BATCH, len(corpus)))
                yield corpus.contents(rows)
                advance(len(rows))

        with quietly():
            made = ours.train_new_from_iterator(texts(), tokens, length=len(corpus))
        made.save_pretrained(draft.path / _FOLDER)

    inputs = {"documents": documents.recipe.address, "base": digest_bytes(canonical_json(said))}
    recipe = Recipe("tokenizer", "spaniel-omp-tokenizer/tokenizer", VERSION, {"tokens": tokens}, None, inputs)
    return Need(recipe, build, (documents,))


def _letters(said: Any) -> Iterator[str]:
    """Yield the letters that a tokenizer has tokens for; byte-level ones have all anyway."""
    model = said["model"]
    if "ByteLevel" in json.dumps([said.get("pre_tokenizer"), said.get("decoder")]):
        return
    entries = model["vocab"]
    for entry in entries if isinstance(entries, dict) else (pair[0] for pair in entries):
        if len(entry) == 1 and entry.isprintable():
            yield entry
