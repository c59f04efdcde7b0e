"""Queries that a language model asks of documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from spaniel import Context
from spaniel.data.texts.passages import count_words
from spaniel_lm.capabilities import require
from spaniel_lm.protocol import Generation, LanguageModel, Message, Prompt

from spaniel_train.config import LmQueriesConfig
from spaniel_train.material import Material
from spaniel_train.protocols import Made
from spaniel_train.rows import Row

_MARKS = "\"'`*“”‘’ \t"


class LmQueries:
    """Rows of documents and the queries that a language model makes of them (Bonifacio et al., InPars, 2022).

    Of an answer the first line that is not empty counts, without quotation marks and a leading ``Query:``.
    """

    def __init__(self, config: LmQueriesConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def units(self, material: Material) -> int:
        """Return the number of documents."""
        return len(material.need_corpus("lm-queries"))

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Ask for the queries of some documents; an answer depends on its document and the seed alone."""
        corpus, config = material.need_corpus("lm-queries"), self.config
        model: LanguageModel = self.context.create("language_model", config.lm)
        require(model, "sample" if config.temperature else "generate")
        wanted = Generation(max_tokens=config.max_tokens, temperature=config.temperature, returns=config.queries)
        documents = corpus.documents(range(start, stop))
        counts: Counter[str] = Counter(documents=len(documents))
        rows = []
        answers = model.generate([self._prompt(model, document.contents) for document in documents], wanted)
        for document, answer in zip(documents, answers, strict=True):
            asked = [clean(one.text) for one in (answer, *answer.others)]
            kept = [query for query in dict.fromkeys(asked) if count_words(query) >= config.words]
            counts["queries"] += len(asked)
            counts["rejected as too short, or as copies"] += len(asked) - len(kept)
            source = {"collection": material.name, "document": document.id, "lm": str(config.lm)}
            rows += [Row(query, (document.contents,), task="lm-query", provenance=source) for query in kept]
        counts["rows"] = len(rows)
        return Made(rows, counts)

    def _prompt(self, model: LanguageModel, text: str) -> Prompt:
        prompt = self.config.prompt.replace("{text}", text[: self.config.text_characters])
        return (Message("user", prompt),) if "chat" in model.capabilities else prompt

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return the share of queries that were kept."""
        return {"kept": counts.get("rows", 0) / max(1.0, counts.get("queries", 0))}


def clean(answer: str) -> str:
    """Return the query in an answer."""
    line = next((line.strip() for line in answer.splitlines() if line.strip()), "")
    return line.strip(_MARKS).removeprefix("Query:").strip(_MARKS)
