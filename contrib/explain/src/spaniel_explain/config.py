"""Options of the explainers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config

Side = Literal["query", "document"]


class UnitConfig(Config):
    """Options of what is left out."""

    side: Side = Field("query", description="the text whose parts contribute")
    unit: Literal["auto", "word", "sentence", "passage"] = Field(
        "auto", description="what is left out at once; auto: words, or sentences where there are more than 64 words"
    )
    size: int = Field(40, description="words of a passage", ge=1)


class OcclusionConfig(UnitConfig):
    """Options of the explanation by leaving parts out, one at a time."""


class ShapleyConfig(UnitConfig):
    """Options of Shapley values."""

    samples: int = Field(
        32,
        description="orders of adding parts that are tried, half of them the others backwards; where all sets of parts are "
        "fewer than that takes, the values are exact",
        ge=2,
    )


class GradientConfig(Config):
    """Options of gradients."""

    side: Side = Field("query", description="the text whose tokens contribute")
    pieces: Literal["word", "token"] = Field(
        "word", description="whether the pieces that a tokenizer cuts words into are summed up to words, or shown"
    )


class IntegratedGradientsConfig(GradientConfig):
    """Options of integrated gradients."""

    baseline: Literal["pad", "mask", "zero"] = Field(
        "pad",
        description="what stands for every token at the beginning of the path: the vector of [PAD], of [MASK], or 0",
    )
    steps: int = Field(32, description="points of the path at which the gradient is taken", ge=1)
    rule: Literal["gauss-legendre", "trapezoid", "midpoint"] = Field(
        "gauss-legendre", description="where these points are, and how they are weighed"
    )


class HeadConfig(Config):
    """Options of the contributions of attention heads."""

    side: Side = Field("query", description="the text that the model reads; a cross-encoder reads both at once")


class DimensionsConfig(Config):
    """Options of the contributions of dimensions."""

    top: int = Field(20, description="dimensions shown, those that contribute most; the others are summed up", ge=1)
