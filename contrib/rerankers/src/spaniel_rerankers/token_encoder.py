"""Texts → a vector a token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from spaniel.data import MultiVectors
from spaniel.observe import loaded_property
from spaniel_neural.prompted import PromptedEncoder

from spaniel_rerankers.config import TokenEncoderConfig
from spaniel_rerankers.token_layout import TokenLayout, read_token_layout

if TYPE_CHECKING:
    from spaniel.protocols import Role


class Model(Protocol):
    """What runs the model."""

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> MultiVectors: ...


class TokenEncoder(PromptedEncoder[TokenLayout]):
    """The token vectors of the last layer, as late interaction compares them (Khattab and Zaharia, SIGIR 2020)."""

    form = "multi-vector"
    config: TokenEncoderConfig

    def read(self, folder: Path) -> TokenLayout:
        """Read what a folder says about its model."""
        return read_token_layout(folder)

    @loaded_property
    def model(self) -> Model:
        """The model itself, loaded on first use."""
        if self.layout.is_plain:
            from spaniel_rerankers.token_transformer import TokenTransformer

            return cast(Model, TokenTransformer(self.layout, self.config, self.context))
        from spaniel_rerankers.token_modules import ModularTokenEncoder

        return cast(Model, ModularTokenEncoder(self.layout, self.config, self.context))

    def embed(self, texts: Sequence[str], prompt: str, role: Role) -> MultiVectors:
        """Return one vector a token that counts, of distinct texts."""
        return self.model.embed(texts, prompt, role)
