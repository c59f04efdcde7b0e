"""Texts → the numbers of their tokens, by the tokenizer alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a model's folder, which neither pads nor cuts off.

    Raises:
        UsageError: it has no tokenizer.json, or a damaged one.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise UsageError(
            f"{path} cannot be read ({error}); a tokenizer is saved as that file by transformers' fast tokenizers"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def special_tokens(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Return the numbers of special tokens, such as [CLS] and [UNK], in rising order."""
    return np.array(sorted(n for n, t in tokenizer.get_added_tokens_decoder().items() if t.special), np.int64)


def count_tokens(
    tokenizer: Tokenizer, texts: Sequence[str], max_length: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct tokens of texts, special ones among them, and how often each comes.

    Args:
        tokenizer: see :func:`read_tokenizer`.
        texts: of any length.
        max_length: tokens after which a text is cut off.

    Returns:
        ``(texts + 1,)`` offsets; ``(entries,)`` tokens, rising within a text; ``(entries,)`` counts.
    """
    width = tokenizer.get_vocab_size()
    made = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False) if len(texts) else []
    ids = [encoding.ids[:max_length] for encoding in made]
    owners = np.repeat(np.arange(len(ids)), [len(one) for one in ids]).astype(np.int64)
    flat = np.fromiter(chain.from_iterable(ids), np.int64, len(owners))
    keys, counts = np.unique(owners * width + flat, return_counts=True)
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(np.bincount(keys // width, minlength=len(ids)), out=offsets[1:])
    return offsets, keys % width, counts
