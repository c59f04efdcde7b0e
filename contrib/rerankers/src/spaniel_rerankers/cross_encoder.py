"""Query and document read together by one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from spaniel.observe import loaded_property
from spaniel.rerank import PointwiseReranker
from spaniel_neural.locating import download_model

from spaniel_rerankers.layout import Layout, read_layout
from spaniel_rerankers.scores import ScoreCache, pair_keys

if TYPE_CHECKING:
    from spaniel_rerankers.config import CrossEncoderConfig

FORMAT = 1
"""Version of how pairs become scores; scores that another version kept are not taken for its own."""


class Model(Protocol):
    """What runs the model."""

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]: ...


class CrossEncoder(PointwiseReranker):
    """Scores pairs as sentence-transformers' ``CrossEncoder`` does, each once: scores are kept in the store."""

    config: CrossEncoderConfig
    window = 4096

    def locate(self) -> Path:
        """Return the model's folder; fetched from the hub where this machine lacks it."""
        return download_model(self.config.model, self.config.revision, self.context.offline)

    @loaded_property
    def layout(self) -> Layout:
        """What the model's folder says."""
        return read_layout(self.locate())

    @loaded_property
    def model(self) -> Model:
        """The model itself, loaded on first use."""
        if self.layout.is_plain:
            from spaniel_rerankers.classifier import Classifier

            return cast(Model, Classifier(self.layout, self.config, self.context))
        from spaniel_rerankers.modules import ModularCrossEncoder

        return cast(Model, ModularCrossEncoder(self.layout, self.config, self.context))

    @loaded_property
    def kept(self) -> ScoreCache:
        """The scores that the store keeps for this model, with these options and on this sort of device."""
        from spaniel_neural.devices import choose_device

        config, layout = self.config, self.layout
        identity: dict[str, Any] = {
            "format": FORMAT,
            "model": layout.digest(self.context.store),
            "label": layout.label(config.label),
            "activation": layout.activation if config.activation == "auto" else config.activation,
            "prompt": layout.prompt(config.prompt),
            "max_length": config.max_length,
            "dtype": config.dtype,
            "device": choose_device(self.context.device).type,
        }
        return ScoreCache(self.context.store, identity)

    def fingerprint(self) -> Mapping[str, str]:
        """Digest of the model's folder."""
        return {"model": self.layout.digest(self.context.store)}

    def weight(self) -> float:
        """Return the option."""
        return self.config.weight

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Score pairs: ``(n,)`` float32; a pair that comes several times, or was scored before, is not scored again.

        Raises:
            UsageError: the model cannot be had, or an option does not suit it.
        """
        if not len(texts):
            return np.zeros(0, np.float32)
        keys, first, place = np.unique(pair_keys(queries, texts), axis=0, return_index=True, return_inverse=True)
        scores = self.kept.get(keys) if self.config.cache else np.full(len(keys), np.nan, np.float32)
        lacking = np.flatnonzero(np.isnan(scores))
        if len(lacking) < len(keys):
            self.context.count("cached scores", len(keys) - len(lacking))
        if len(lacking):
            chosen = first[lacking].tolist()
            scores[lacking] = self.model.score([queries[i] for i in chosen], [texts[i] for i in chosen])
            if self.config.cache and not self.kept.put(keys[lacking], scores[lacking]):
                self.context.count("scores not kept", len(lacking))
        return scores[place.reshape(-1)]
