"""Tokenizers of whole words, made from texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaniel import UsageError


@dataclass(frozen=True)
class Style:
    """How a family of models marks texts.

    Attributes:
        special: its special tokens by role, in the order of their numbers.
        single: template of a text.
        pair: template of a pair of texts.
        types: whether the model is told which of a pair's texts a token is of.
    """

    special: dict[str, str]
    single: str
    pair: str
    types: bool = False


_BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
STYLES = {
    "bert": Style(_BERT, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", types=True),
    "distilbert": Style(_BERT, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]"),
    "roberta": Style(_ROBERTA, "<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "bart": Style(_ROBERTA, "<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "t5": Style({"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, "$A </s>", "$A </s> $B </s>"),
    "llama": Style({"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"}, "<s> $A", "<s> $A $B"),
}
"""The styles, by name of the family."""


def word_tokenizer(
    texts: Iterable[str],
    style: str = "bert",
    *,
    size: int | None = None,
    max_length: int = 512,
    lowercase: bool = False,
) -> Any:
    """Return a tokenizer whose tokens are the words of texts, the frequent ones first.

    Args:
        style: which special tokens there are, and where they stand: one of :data:`STYLES`.
        size: words kept at most, beside the special tokens; the others are unknown.
        max_length: tokens that it says a model reads.
        lowercase: whether texts are lowercased first.

    Raises:
        UsageError: there is no such style.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if style not in STYLES:
        raise UsageError(f"style={style!r}; it can be {', '.join(STYLES)}")
    marks = STYLES[style]
    normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])])
    words_of = pre_tokenizers.Whitespace()
    counts = Counter(word for text in texts for word, _ in words_of.pre_tokenize_str(normalizer.normalize_str(text)))
    words = sorted(counts, key=lambda word: (-counts[word], word))[:size]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*marks.special.values(), *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=marks.special["unk"]))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = words_of
    tokenizer.post_processor = processors.TemplateProcessing(
        marks.single, marks.pair, [(mark, vocabulary[mark]) for mark in marks.special.values()]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", *(["token_type_ids"] if marks.types else []), "attention_mask"],
        **{f"{role}_token": mark for role, mark in marks.special.items()},
    )


def write_tokenizer(folder: Path, texts: Iterable[str], style: str = "bert", **options: Any) -> Any:
    """Save a :func:`word_tokenizer` in a folder, and return it."""
    tokenizer = word_tokenizer(texts, style, **options)
    tokenizer.save_pretrained(folder)
    return tokenizer
