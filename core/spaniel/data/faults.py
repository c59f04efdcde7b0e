"""What is malformed in input, and what happens to it."""

from __future__ import annotations

from typing import Literal

OnError = Literal["fail", "skip"]


def check_id(name: object) -> str | None:
    """Return what is wrong with an id, or ``None``."""
    if not isinstance(name, str) or not name:
        return f"the id is {name!r}; an id is text of at least one character"
    if any(character.isspace() for character in name) or "\0" in name:
        return f"the id {name!r} has white space, which run files cannot hold"
    return check_text(name)


def check_text(text: object) -> str | None:
    """Return what is wrong with a text, or ``None``."""
    if not isinstance(text, str):
        return f"expected text, not {type(text).__name__}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the text has a lone surrogate at character {error.start}, which is no Unicode character"
    return None
