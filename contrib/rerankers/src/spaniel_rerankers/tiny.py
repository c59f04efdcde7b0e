"""The cross-encoder that is trained when it is first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from spaniel.learning import Lesson
from spaniel.store import Artifact, Need

from spaniel_rerankers.config import CrossEncoderConfig, TinyCrossEncoderConfig
from spaniel_rerankers.cross_encoder import CrossEncoder
from spaniel_rerankers.recipe import model_need, read_source

if TYPE_CHECKING:
    from spaniel import Context


class TinyCrossEncoder(CrossEncoder):
    """A :class:`CrossEncoder` whose model is an artifact of the store, built where it is not there."""

    def __init__(self, config: TinyCrossEncoderConfig, context: Context) -> None:
        # What a cross-encoder is told of its model is in the folder that the recipe makes.
        ranking = CrossEncoderConfig(model="tiny", dtype=config.dtype, k=config.k, cache=config.cache)
        super().__init__(ranking, context)
        self.recipe = config

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The trained model, which does not depend on the corpus that is searched."""
        return [model_need(self.context, self.recipe)]

    def lessons(self) -> list[Lesson]:
        """The judged queries of its data: most train it, the others choose its weight."""
        source = read_source(self.context, self.recipe)
        if source.queries is None:
            return []
        name = f"{Path(self.recipe.data).name} {self.recipe.split or 'train'}"
        return [Lesson.of(name, source.queries.texts)]

    @cached_property
    def artifact(self) -> Artifact:
        """The trained model."""
        return self.context.obtain(model_need(self.context, self.recipe))

    def locate(self) -> Path:
        """Return the model's folder."""
        return self.artifact.path

    def fingerprint(self) -> Mapping[str, str]:
        """Address of the model that is trained, or will be."""
        return {"model": model_need(self.context, self.recipe).recipe.address}

    def weight(self) -> float:
        """Return the option, or the weight that the recipe found best."""
        given = self.recipe.weight
        return float(self.artifact.info["weight"]) if given == "auto" else given
