"""What the vectors of a text stand for."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from spaniel_explain.reading import tokens_of

if TYPE_CHECKING:
    from spaniel.protocols import Role

Token: TypeAlias = tuple[str, int, int]
"""Its name, its first character, and the one behind its last; the same number twice for one without a place."""


def name_vectors(encoder: Any, text: str, role: Role, count: int) -> list[Token]:
    """Return the names and places of a text's vectors.

    They are the encoder's own where it has a method ``tokens(texts, role)``, which returns a :data:`Token` a vector for each
    text; else those of its tokenizer, without a document's punctuation where that has no vectors, and with ``[MASK]`` where
    a query is filled up. Where these are not as many as the vectors, names are numbers.

    Args:
        count: how many vectors there are.
    """
    tell = getattr(encoder, "tokens", None)
    told: list[Token] = list(tell([text], role)[0]) if callable(tell) else _tokens(encoder, text, role)
    if len(told) > count:
        told = [token for token in told if token[0] not in string.punctuation]
    elif role == "query" and told:
        told += [("[MASK]", 0, 0)] * (count - len(told))
    return told if len(told) == count else [(f"vector {number}", 0, 0) for number in range(1, count + 1)]


def _tokens(encoder: Any, text: str, role: Role) -> list[Token]:
    layout, model = getattr(encoder, "layout", None), cast(Any, getattr(encoder, "model", None))
    transformer = getattr(model, "transformer", None)
    if layout is None or transformer is None or not transformer.tokenizer.is_fast:
        return []
    given = getattr(encoder.config, f"prompt_{role}", None)
    limit = model.max_length[role] if isinstance(model.max_length, dict) else model.max_length
    names, spots = tokens_of(transformer, text, role, layout.prompt(role, given), limit, layout.lowercase)
    return [
        (name, spot.start, spot.end) if spot is not None else (name, 0, 0)
        for name, spot in zip(names, spots, strict=True)
    ]
