"""Encoders whose models have prompts for queries and documents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from spaniel.observe import loaded_property

from spaniel_neural.locating import download_model, find_model
from spaniel_neural.texts import distinct

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.data import Vectors
    from spaniel.protocols import Metadata, Role
    from spaniel.store import Store


class PromptedLayout(Protocol):
    """What a model's folder says."""

    def prompt(self, role: str, given: str | None) -> str:
        """Return what is put before a text of a role, given the option."""
        ...

    def digest(self, store: Store) -> str:
        """Return the digest of weights, tokenizer and settings."""
        ...


L = TypeVar("L", bound=PromptedLayout)


class PromptedEncoder(ABC, Generic[L]):
    """Texts → vectors by a model that is found by its name; texts that come several times are encoded once.

    Args:
        config: has ``model``, ``revision``, ``prompt_query`` and ``prompt_document``.
        context: the session.
    """

    form: ClassVar[str]
    """The name under which vectors are given."""

    def __init__(self, config: Any, context: Context) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def read(self, folder: Path) -> L:
        """Read what a folder says about its model."""

    @abstractmethod
    def embed(self, texts: Sequence[str], prompt: str, role: Role) -> Vectors:
        """Return the vectors of distinct texts, each read with the prompt before it."""

    @loaded_property
    def layout(self) -> L:
        """What the model's folder says; fetched from the hub where this machine lacks it."""
        return self.read(download_model(self.config.model, self.config.revision, self.context.offline))

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Return the digest of weights, tokenizer and settings, and the role's prompt.

        A model that has not been fetched yet is known by its name and revision; nothing is fetched to plan.
        """
        folder = find_model(self.config.model, self.config.revision)
        prompt = self._given_prompt(role)
        if folder is None:
            known = {"model": f"{self.config.model}@{self.config.revision or 'main'}"}
        else:
            layout = self.read(folder)
            known, prompt = {"model": layout.digest(self.context.store)}, layout.prompt(role, prompt)
        return {**known, "prompt": prompt} if prompt else known

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, Any]:
        """Return the vectors of texts, in their order."""
        own, places = distinct(texts)
        made = self.embed(own, self.layout.prompt(role, self._given_prompt(role)), role)
        self.context.count("texts encoded", len(own))
        return {self.form: made.take(places) if len(own) < len(texts) else made}

    def _given_prompt(self, role: Role) -> str | None:
        given: str | None = self.config.prompt_query if role == "query" else self.config.prompt_document
        return given
