"""Rewriters that ask a language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel import Corpus, Queries, Run
from spaniel.data import Variants
from spaniel_lm.capabilities import require
from spaniel_lm.protocol import Generation, LanguageModel, Message

from spaniel_queries import config as options

if TYPE_CHECKING:
    from spaniel import Context

_NUMBER = re.compile(r"^\s*(?:\(?\d{1,3}[.):]|[-*•–])\s*")
_LABEL = re.compile(r"^(?:query|queries|passage|answer)\s*:\s*", re.IGNORECASE)
_MARKS = "\"'`*“”‘’«» \t"


class _Asking:
    """Asks about queries that have a word; the others stay as they are."""

    def __init__(self, config: options.Query2doc | options.Hyde | options.VariantsOf, context: Context) -> None:
        self.asking = config
        self.context = context

    def answers(self, queries: Queries, prompt: str, returns: int = 1) -> list[list[str]]:
        """Return the answers to the prompt about each query that are not empty, in one line each line of them."""
        model: LanguageModel = self.context.create("language_model", self.asking.lm)
        drawn = self.asking.temperature > 0
        require(model, "sample" if drawn else "generate")
        settings = Generation(max_tokens=self.asking.max_tokens, temperature=self.asking.temperature, returns=returns)
        asked = [at for at, text in enumerate(queries.texts) if text.strip()]
        texts = [prompt.replace("{query}", queries.texts[at]) for at in asked]
        chat = "chat" in model.capabilities
        with self.context.following(len(asked), self.context.advance):
            made = model.generate([(Message("user", text),) if chat else text for text in texts], settings)
        found: list[list[str]] = [[] for _ in queries.ids]
        for at, answer in zip(asked, made, strict=True):
            texts_of = [one.text.strip() for one in (answer, *answer.others)]
            found[at] = [text for text in texts_of if text]
        return found


class Hyde(_Asking):
    """Searches for what a model writes as answers (Gao et al. 2023).

    The paper averages the vectors of the passages and of the query; here each is a search, and the runs are fused, so
    that any retriever can stand behind.
    """

    def __init__(self, config: options.Hyde, context: Context) -> None:
        super().__init__(config, context)
        self.config = config

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Variants:
        """Return the passages of each query, and the query where it is asked as well."""
        written = self.answers(queries, self.config.prompt, self.config.n)
        texts = [
            [*([text] if self.config.query or not passages else []), *map(_passage, passages)]
            for text, passages in zip(queries.texts, written, strict=True)
        ]
        return Variants.from_lists(texts, k=self.config.k)


class Query2doc(_Asking):
    """The query, ``repeat`` times, and a passage (Wang et al. 2023, section 2)."""

    def __init__(self, config: options.Query2doc, context: Context) -> None:
        super().__init__(config, context)
        self.config = config

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Variants:
        """Return each query with its passage."""
        written = self.answers(queries, self.config.prompt)
        texts = [
            [" ".join([*[text] * self.config.repeat, _passage(passages[0])]) if passages else text]
            for text, passages in zip(queries.texts, written, strict=True)
        ]
        return Variants.from_lists(texts)


class VariantsOf(_Asking):
    """Several rewrites of each query, one in each line of the answer."""

    def __init__(self, config: options.VariantsOf, context: Context) -> None:
        super().__init__(config, context)
        self.config = config

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Variants:
        """Return the rewrites of each query, and the query itself under its weight."""
        config = self.config
        written = self.answers(queries, config.prompt.replace("{n}", str(config.n)))
        texts, weights = [], []
        for text, answers in zip(queries.texts, written, strict=True):
            made = rewrites("\n".join(answers), text, config.n)
            own = [(text, config.weight or 1.0)] if config.weight or not made else []
            variants = [*own, *((one, 1.0) for one in made)]
            texts.append([one for one, _ in variants])
            weights.append([weight for _, weight in variants])
        return Variants.from_lists(texts, weights, config.k)


def rewrites(answer: str, query: str, most: int) -> Sequence[str]:
    """Return the first distinct queries of an answer, without numbers, bullets and quotation marks."""
    found: dict[str, None] = {}
    for line in answer.splitlines():
        text = _LABEL.sub("", _NUMBER.sub("", line)).strip(_MARKS)
        # A heading such as "Here are five queries:" is none.
        if re.search(r"\w", text) and not text.endswith((":", "：")) and text.casefold() != query.strip().casefold():
            found.setdefault(text)
    return list(found)[:most]


def _passage(text: str) -> str:
    return " ".join(_LABEL.sub("", text).split()) or text
