"""Rewriters that need nothing but the query."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from spaniel import Corpus, Queries, Run

from spaniel_queries import config as options

if TYPE_CHECKING:
    from spaniel import Context

PHRASES = (
    "can you tell me", "could you tell me", "do you know", "does anyone know", "explain", "find", "find me", "give me",
    "how can i", "how can one", "how can we", "how can you", "how could i", "how do i", "how do they", "how do we",
    "how do you", "how does one", "how should i", "how to", "i am looking for", "i need", "i want to know", "i would like",
    "i'm looking for", "is there", "list", "please", "search for", "show me", "tell me", "tell me about", "what about",
    "what are", "what are the", "what does", "what is", "what is a", "what is an", "what is the", "what was", "what was the",
    "what were", "what's", "what's the", "where can i", "where can i find", "where do i", "where is", "who are", "who is",
    "who was", "why are", "why do", "why does", "why is",
)  # fmt: skip
"""What begins English questions and requests and says nothing of what is asked for."""


class LowerCase:
    """Writes queries in small letters."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Queries:
        """Return the queries, lower-cased as Unicode has it."""
        return replace(queries, texts=tuple(text.lower() for text in queries.texts))


class StopPhrases:
    """Leaves phrases out, the longest that fits first, until none is left at the begin; a query is never left empty."""

    def __init__(self, config: options.StopPhrases, context: Context) -> None:
        phrases = PHRASES if config.phrases is None else config.phrases
        forms = sorted(
            {r"\s+".join(map(re.escape, p.split())) for p in phrases if p.split()}, key=lambda p: (-len(p), p)
        )
        # Two words that touch another letter are no phrase; signs at their end are.
        phrase = rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)[\s,;:?!.]*" if forms else r"(?!)"
        self._pattern = re.compile(phrase if config.anywhere else rf"\s*(?:{phrase})+", re.IGNORECASE)
        self._anywhere = config.anywhere

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Queries:
        """Return the queries without the phrases."""
        return replace(queries, texts=tuple(map(self._without, queries.texts)))

    def _without(self, text: str) -> str:
        if self._anywhere:
            made = self._pattern.sub(" ", text)
            made = " ".join(made.split())
        else:
            found = self._pattern.match(text)
            made = text[found.end() :].strip() if found else text
        return made if re.search(r"\w", made) else text
