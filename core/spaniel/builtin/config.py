"""Options of the core's own components."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from spaniel.config import Config, Expression, ref

_STAGES = ("retrieve", "rerank")


class Cut(Config):
    """Keep the first documents of each list."""

    k: int = Field(description="documents kept per query", ge=0)


class ReciprocalRankFusion(Config):
    """Sum of 1 / (k + rank) over the systems; a system that lacks a document adds nothing."""

    inputs_field: ClassVar[str] = "systems"

    systems: Annotated[tuple[Expression, ...], Field(min_length=1)] = ref(
        _STAGES, description="the pipelines whose runs are fused"
    )
    k: float = Field(
        60, description="constant added to every rank; larger values flatten the difference of ranks", ge=0
    )
    weights: tuple[float, ...] | None = Field(None, description="one weight a system; all 1 where not given")

    @model_validator(mode="after")
    def _one_weight_each(self) -> ReciprocalRankFusion:
        _check_weights(self.weights, self.systems)
        return self


class WeightedSum(Config):
    """Weighted sum of scores under a normalisation.

    A document that one system lacks gets from it what the normalisation makes of that system's lowest score for the
    query (``missing="lowest"``), or 0.
    """

    inputs_field: ClassVar[str] = "systems"

    systems: Annotated[tuple[Expression, ...], Field(min_length=1)] = ref(
        _STAGES, description="the pipelines whose runs are fused"
    )
    weights: tuple[float, ...] | None = Field(None, description="one weight a system; all 1 where not given")
    norm: Literal["min-max", "z-score", "softmax", "none"] = Field(
        "min-max", description="how the scores of each list are made comparable before they are summed"
    )
    missing: Literal["lowest", "zero"] = Field(
        "lowest", description="what a system adds to a document that it lacks: its lowest normalised score, or 0"
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> WeightedSum:
        _check_weights(self.weights, self.systems)
        return self


def _check_weights(weights: tuple[float, ...] | None, systems: tuple[Expression, ...]) -> None:
    if weights is not None and len(weights) != len(systems):
        raise ValueError(f"{len(weights)} weights for {len(systems)} systems")
