"""The generated collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from spaniel import Document, Qrels, Queries
from spaniel.data import documents_need
from spaniel.store import Need, canonical_json, digest_bytes

from spaniel_limit import generator, words
from spaniel_limit.config import LimitConfig

if TYPE_CHECKING:
    from spaniel import Context


class Limit:
    """People who like things, and queries who likes a thing.

    Raises:
        UsageError: the options do not fit together.
    """

    def __init__(self, config: LimitConfig, context: Context) -> None:
        self.config = config.resolved()

    @property
    def name(self) -> str:
        """The family, and the options that are not the defaults."""
        changed = self.config.model_dump(exclude_defaults=True)
        return "limit" + (":" if changed else "") + ",".join(f"{key}={value}" for key, value in changed.items())

    @property
    def splits(self) -> Sequence[str]:
        """``train`` for the half of that name, else ``test``."""
        return ("train" if self.config.part == "train" else "test",)

    @cached_property
    def plan(self) -> generator.Plan:
        """What is relevant to what."""
        return generator.plan(self.config)

    def documents(self) -> Need:
        """One document a person."""
        texts = {
            "attributes": words.attributes()
            if not self.config.attributes
            else words.read_lines(self.config.attributes),
            "names": [words.given_names(), words.family_names()]
            if not self.config.names
            else words.read_lines(self.config.names),
        }
        inputs = {name: digest_bytes(canonical_json(text)) for name, text in texts.items()}
        chosen = self.config.model_dump(exclude={"name", "query_template", *texts})
        inputs["options"] = canonical_json(chosen).decode()
        return documents_need(self._documents, "spaniel-limit/limit", {**inputs, "rules": generator.RULES})

    def _documents(self) -> Iterator[Document]:
        yield from generator.documents(self.config, self.plan)

    def queries(self, split: str) -> Queries:
        """One query an attribute that is asked for."""
        texts = [self.config.query_template.replace("{item}", item) for item in self.plan.asked]
        return Queries.from_lists([f"query_{number}" for number in range(len(texts))], texts)

    def qrels(self, split: str) -> Qrels:
        """The people who like the attribute, grade 1."""
        names = self.plan.names
        return Qrels(
            {
                f"query_{number}": {names[p]: 1 for p in people}
                for number, people in enumerate(self.plan.relevant.tolist())
            }
        )
