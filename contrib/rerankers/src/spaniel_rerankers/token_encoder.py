"""Texts → a vector a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, cast

from spaniel.data import MultiVectors
from spaniel_neural.locating import download_model, find_model
from spaniel_neural.texts import distinct

from spaniel_rerankers.config import TokenEncoderConfig
from spaniel_rerankers.token_layout import TokenLayout, read_token_layout

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Metadata, Role


class Model(Protocol):
    """What runs the model."""

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> MultiVectors: ...


class TokenEncoder:
    """The token vectors of the last layer, as late interaction compares them (Khattab and Zaharia, SIGIR 2020).

    Texts that come several times are encoded once.
    """

    def __init__(self, config: TokenEncoderConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def layout(self) -> TokenLayout:
        """What the model's folder says; fetched from the hub where this machine lacks it."""
        return read_token_layout(download_model(self.config.model, self.config.revision, self.context.offline))

    @cached_property
    def model(self) -> Model:
        """The model itself, loaded on first use."""
        if self.layout.is_plain:
            from spaniel_rerankers.token_transformer import TokenTransformer

            return cast(Model, TokenTransformer(self.layout, self.config, self.context))
        from spaniel_rerankers.token_modules import ModularTokenEncoder

        return cast(Model, ModularTokenEncoder(self.layout, self.config, self.context))

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Return the digest of weights, tokenizer and settings, and the role's prompt.

        A model that has not been fetched yet is known by its name and revision; nothing is fetched to plan.
        """
        folder = find_model(self.config.model, self.config.revision)
        prompt = self._given_prompt(role)
        if folder is None:
            known = {"model": f"{self.config.model}@{self.config.revision or 'main'}"}
        else:
            layout = read_token_layout(folder)
            known, prompt = {"model": layout.digest(self.context.store)}, layout.prompt(role, prompt)
        return {**known, "prompt": prompt} if prompt else known

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, MultiVectors]:
        """Return one vector a token that counts, under the name ``multi-vector``."""
        own, places = distinct(texts)
        made = self.model.embed(own, self.layout.prompt(role, self._given_prompt(role)), role)
        self.context.count("texts encoded", len(own))
        return {"multi-vector": made.take(places) if len(own) < len(texts) else made}

    def _given_prompt(self, role: Role) -> str | None:
        return self.config.prompt_query if role == "query" else self.config.prompt_document
