"""Where the terms of a vocabulary stand in a text."""

from __future__ import annotations

from typing import Any, NamedTuple


class TermSpan(NamedTuple):
    """A term that a text holds.

    Attributes:
        term: its number.
        start: its first character in the text.
        end: the one behind its last.
        word: the whole word that it is a piece of.
    """

    term: int
    start: int
    end: int
    word: str


def term_spans(tokenizer: Any, text: str, prompt: str = "", max_length: int | None = None) -> list[TermSpan]:
    """Return the terms of a text behind a prompt, in order; none where the tokenizer does not know their places.

    Args:
        tokenizer: one of ``tokenizers``, or of transformers with such a one inside.
        text: any text.
        prompt: what is put before it.
        max_length: tokens after which the model cuts a text off, special ones among them.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not callable(getattr(backend, "encode_batch_fast", None)):
        return []
    made = backend.encode(prompt + text, add_special_tokens=False)
    read = None if max_length is None else max(0, max_length - backend.num_special_tokens_to_add(False))
    found = [
        (term, max(start - len(prompt), 0), end - len(prompt), word)
        for term, (start, end), word in zip(made.ids[:read], made.offsets[:read], made.word_ids[:read], strict=True)
        if end > max(start, len(prompt))
    ]
    bounds: dict[int | None, tuple[int, int]] = {}
    for _, start, end, word in found:
        first, last = bounds.get(word, (start, end))
        bounds[word] = (min(first, start), max(last, end))
    words = {word: text[slice(*bound)].strip() for word, bound in bounds.items()}
    return [
        TermSpan(term, start, end, text[start:end] if word is None else words[word]) for term, start, end, word in found
    ]
