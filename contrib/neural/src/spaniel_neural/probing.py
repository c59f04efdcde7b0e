"""The tokens that candidates are run on: real texts of a collection, the same for all candidates of a space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import UsageError
from torch import Tensor

from spaniel_neural.batching import Tokens, tokenize

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.data import Corpus

    from spaniel_neural.config import ProbeConfig

PADDING = 0
CHARACTERS = "characters"
_ASCII = 128
_WORDS_FROM = 2000
"""Documents from whose words a vocabulary is made."""
_STEP = 256
"""Documents read at a time."""


class Probe(NamedTuple):
    """A batch of tokens.

    Attributes:
        ids: ``(texts, tokens)`` int64.
        mask: ``(texts, tokens)`` bool, false where a token is padding that is to be left out.
    """

    ids: Tensor
    mask: Tensor


def probe(context: Context, config: ProbeConfig, vocabulary: int) -> Probe:
    """Return the batch that the options describe, made once in a session.

    Which documents are read depends on ``config.batch`` alone, not on the session's seed.

    Args:
        vocabulary: how many tokens the models know; of a tokenizer that knows more, the others are unknown.

    Raises:
        UsageError: the collection has too few documents.
    """
    asked = [config.data, config.tokenizer, config.batch_size, config.seq_len, config.batch, config.packed]
    key = f"probe {asked} {config.mask_padding} {vocabulary}"
    return context.remember(key, lambda: _make(context, config, vocabulary))


def token_stream(context: Context, config: ProbeConfig, vocabulary: int, tokens: int) -> NDArray[np.int64]:
    """Return documents as one stream of at least ``tokens`` tokens: ``(n,)`` int64, for training small models.

    Raises:
        UsageError: the collection is shorter.
    """
    found = _tokens(context, config, vocabulary, tokens, None)
    if len(found.ids) < tokens:
        raise UsageError(f"{config.data} has {len(found.ids)} tokens; {tokens} are needed")
    return found.ids


def _make(context: Context, config: ProbeConfig, vocabulary: int) -> Probe:
    texts, length = config.batch_size, config.seq_len
    needed, cut = (texts * length, None) if config.packed else (texts, length)
    found = _tokens(context, config, vocabulary, needed, cut)
    if config.packed:
        if len(found.ids) < needed:
            raise UsageError(f"{config.data} has {len(found.ids)} tokens; batch_size × seq_len = {needed} are needed")
        ids = found.ids[: texts * length].reshape(texts, length)
        return Probe(torch.from_numpy(ids.copy()), torch.ones(texts, length, dtype=torch.bool))
    kept = np.flatnonzero(found.lengths > 0)[:texts]
    if len(kept) < texts:
        raise UsageError(f"{config.data} has {len(kept)} documents with text; batch_size={texts}")
    width = int(found.lengths[kept].max()) if config.mask_padding else length
    ids = np.full((texts, width), PADDING, np.int64)
    for row, at in enumerate(kept):
        start, size = found.offsets[at], found.lengths[at]
        ids[row, :size] = found.ids[start : start + size]
    mask = np.arange(width) < found.lengths[kept, None] if config.mask_padding else np.ones((texts, width), bool)
    return Probe(torch.from_numpy(ids), torch.from_numpy(mask))


def _tokens(context: Context, config: ProbeConfig, vocabulary: int, needed: int, cut: int | None) -> Tokens:
    """Read documents in a random order until there are enough tokens, or, where they are cut, enough documents."""
    from spaniel.collections import find_dataset
    from spaniel.indexing import open_corpus

    corpus = open_corpus(context, find_dataset(context, config.data).documents())
    order = np.random.default_rng(config.batch).permutation(len(corpus))
    parts: list[Tokens] = []
    read = _reader(context, config, vocabulary, corpus, cut)
    have = start = 0
    while start < len(order) and have < needed:
        found = read(corpus.contents(order[start : start + _STEP].tolist()))
        parts.append(found)
        have += len(found.ids) if cut is None else int((found.lengths > 0).sum())
        start += _STEP
    if not parts:
        raise UsageError(f"{config.data} has no documents")
    ids, lengths = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "lengths"))
    return Tokens(ids, lengths)


def _reader(
    context: Context, config: ProbeConfig, vocabulary: int, corpus: Corpus, cut: int | None
) -> Callable[[Sequence[str]], Tokens]:
    if config.tokenizer == CHARACTERS:
        return lambda texts: _characters(texts, cut, vocabulary)
    tokenizer = _tokenizer(context, config, vocabulary, corpus)

    def read(texts: Sequence[str]) -> Tokens:
        found = tokenize(tokenizer, texts, max_length=cut)
        known = np.where(found.ids < vocabulary, found.ids, tokenizer.unk_token_id)
        return Tokens(known, found.lengths)

    return read


def _characters(texts: Sequence[str], cut: int | None, vocabulary: int) -> Tokens:
    if vocabulary < _ASCII:
        raise UsageError(f"vocab_size={vocabulary}; there are {_ASCII} characters")
    encoded = [" ".join(text.lower().split()).encode("ascii", "ignore")[:cut] for text in texts]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return Tokens(np.frombuffer(b"".join(encoded), np.uint8).astype(np.int64), lengths)


def _tokenizer(context: Context, config: ProbeConfig, vocabulary: int, corpus: Corpus) -> Any:
    if config.tokenizer:
        from transformers import AutoTokenizer

        from spaniel_neural.locating import download_model, find_model

        folder = find_model(config.tokenizer) or download_model(config.tokenizer, offline=context.offline)
        return context.remember(f"tokenizer {folder}", lambda: AutoTokenizer.from_pretrained(folder))
    from spaniel_neural.words import word_tokenizer

    def make() -> Any:
        texts = corpus.contents(list(range(min(len(corpus), _WORDS_FROM))))
        return word_tokenizer(texts, size=vocabulary - 5, lowercase=True)

    return context.remember(f"words {config.data} {vocabulary}", make)
