"""Options of the maps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config


class MapConfig(Config):
    """Options of CF-CAM itself, wherever it is used; the defaults are the paper's."""

    dominant_percentile: float = Field(
        75.0, description="channels whose norm reaches this percentile are kept as they are", ge=0, le=100
    )
    eps_percentile: float = Field(
        25.0, description="percentile of the distances between the others that DBSCAN takes for near", ge=0, le=100
    )
    min_samples: float = Field(
        0.05, description="share of the others that makes a dense place, at least two channels", ge=0, le=1
    )
    filter: Literal["gaussian", "bilateral", "none"] = Field(
        "gaussian", description="what smooths a cluster's mean gradient: the abstract's filter, the code's, or nothing"
    )
    sigma: float = Field(1.0, description="width of the filter, in positions", gt=0)
    sigma_range: float = Field(
        0.1, description="width of the bilateral filter over values, as a share of their range", gt=0
    )
    weighting: Literal["auto", "softmax", "softmax-std", "linear"] = Field(
        "auto",
        description="how mean gradients become weights: by softmax, the paper's; by softmax of standardised ones, which tells "
        "classes apart; or as they are; auto: softmax of images, softmax-std of texts",
    )
    combine: Literal["gap", "elementwise"] = Field(
        "gap",
        description="gap: one weight a channel; elementwise: weights times the positive filtered gradient at each place",
    )
    keep_noise: bool = Field(False, description="whether channels in no cluster count, with their own gradients")


class CamConfig(Config):
    """Options of a map over the words of a text."""

    layer: int = Field(-2, description="block of the transformer whose activations are mapped; -1 is the last")
    side: Literal["query", "document"] = Field("document", description="the text whose words are mapped")
    center: bool = Field(
        True, description="whether each channel's mean over the tokens is taken off; a few channels have huge ones"
    )
    relu: bool = Field(True, description="whether what speaks against the score is left out")
    exclude_special: bool = Field(True, description="whether special tokens are left out from the beginning")
    word_pool: Literal["max", "sum"] = Field("max", description="what a word gets of its pieces")


class CfCamConfig(CamConfig, MapConfig):
    """Options of CF-CAM over the words of a text."""
